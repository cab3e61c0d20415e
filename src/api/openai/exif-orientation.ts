/** Tag Orientation of TIFF; 5 to 8 turn the picture by a quarter (Exif 3.0, section 4.6.5). */
const ORIENTATION = 0x0112;

/** Entries of a directory that are looked at. Cameras write some twenty. */
const MAX_ENTRIES = 200;

/** Whether a JPEG is to be shown turned by a quarter, so that its sides change places. Workers turn it before they use it. */
export function isTurned(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const at = exifAt(view);
  return at !== null && (orientationIn(view, at) ?? 1) >= 5;
}

/** Where the TIFF header of the Exif segment begins; null: there is none. */
function exifAt(view: DataView): number | null {
  if (view.byteLength < 4 || view.getUint16(0) !== 0xffd8) return null;
  for (let at = 2; at + 10 <= view.byteLength && view.getUint8(at) === 0xff;) {
    const marker = view.getUint8(at + 1);
    // The picture itself begins: metadata stands before it.
    if (marker === 0xda) return null;
    if (marker === 0xe1 && view.getUint32(at + 4) === 0x45786966 && view.getUint16(at + 8) === 0) return at + 10;
    at += 2 + view.getUint16(at + 2);
  }
  return null;
}

/** Value of the tag in the first directory of a TIFF header; null: it is not there, or the header is not whole. */
function orientationIn(view: DataView, tiff: number): number | null {
  if (tiff + 8 > view.byteLength) return null;
  const little = view.getUint16(tiff) === 0x4949;
  const directory = tiff + view.getUint32(tiff + 4, little);
  if (directory + 2 > view.byteLength) return null;
  const entries = Math.min(view.getUint16(directory, little), MAX_ENTRIES);
  for (let entry = directory + 2; entry < directory + 2 + entries * 12; entry += 12) {
    if (entry + 12 > view.byteLength) return null;
    if (view.getUint16(entry, little) === ORIENTATION) return view.getUint16(entry + 8, little);
  }
  return null;
}
