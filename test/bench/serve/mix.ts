/** What a client asks for, but for its prompt and seed. */
export interface PictureKind {
  /** Pixels. */
  readonly width: number;
  readonly height: number;
  readonly steps: number;
  readonly images: number;
  readonly exact: boolean;
  /** Null: the server's default. */
  readonly priority: Priority | null;
}

export interface MixEntry extends PictureKind {
  /** As it was written, without the weight. */
  readonly name: string;
  /** How often it is drawn, against the others' weights. */
  readonly weight: number;
}

const PRIORITIES = ['low', 'normal', 'high', 'urgent'] as const;
export type Priority = (typeof PRIORITIES)[number];

const ENTRY = /^(?:(\d{1,2})\*)?(\d{1,4})x(\d{1,4})@(\d{1,3})(?:\/([a-z]+))?(\+exact)?(?::(\d+(?:\.\d+)?))?$/;

/** A weighted list such as `64x64@20:3,2*96x64@8/high+exact:1`. Throws with a sentence for who typed it. */
export function parseMix(text: string): readonly MixEntry[] {
  return text.split(',').map((part) => parseEntry(part.trim()));
}

function parseEntry(text: string): MixEntry {
  const [, images = '1', width, height, steps, named, exact, weight = '1'] = ENTRY.exec(text) ?? [];
  if (width === undefined)
    throw new Error(`--mix: "${text}" is not of the form [IMAGES*]WIDTHxHEIGHT@STEPS[/PRIORITY][+exact][:WEIGHT]`);
  const priority = PRIORITIES.find((one) => one === named) ?? null;
  if (named !== undefined && priority === null)
    throw new Error(`--mix: "${named}" is no priority; they are ${PRIORITIES.join(', ')}`);
  const entry = {
    name: text.replace(/:[\d.]+$/, ''),
    width: Number(width),
    height: Number(height),
    steps: Number(steps),
    images: Number(images),
    exact: exact !== undefined,
    priority,
    weight: Number(weight),
  };
  if (Math.min(entry.width, entry.height, entry.steps, entry.images, entry.weight) <= 0)
    throw new Error(`--mix: "${text}" has a number that is not above 0`);
  return entry;
}
