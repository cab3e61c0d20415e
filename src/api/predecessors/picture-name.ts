/** Which picture a file name stands for, and the signature of its link, if it has one. */
export interface NamedPicture {
  readonly jobId: string;
  readonly index: string;
  /** With its question mark; empty: not signed. */
  readonly query: string;
}

const NAME = /^([0-9a-f-]{36})_(\d{1,4})(?:_(\d{1,12})_([\w-]{1,100}))?\.png$/;

/**
 * The path of a picture as one file name. Clients of the predecessors cut the name off the address they are given and ask for
 * it under `/images/`, so that all that opens a picture has to stand in its name.
 *
 * @param path of an artifact, signed or not
 */
export function pictureName(path: string): string {
  const [, jobId = '', index = ''] = /\/jobs\/([0-9a-f-]{36})\/artifacts\/(\d+)/.exec(path) ?? [];
  const query = new URLSearchParams(path.split('?')[1]);
  const [expires, signature] = [query.get('expires'), query.get('signature')];
  return `${jobId}_${index}${expires === null || signature === null ? '' : `_${expires}_${signature}`}.png`;
}

/** Null: no name of {@link pictureName}. */
export function readPictureName(name: string): NamedPicture | null {
  const [, jobId, index, expires, signature] = NAME.exec(name) ?? [];
  if (jobId === undefined || index === undefined) return null;
  return { jobId, index, query: expires === undefined ? '' : `?expires=${expires}&signature=${signature}` };
}
