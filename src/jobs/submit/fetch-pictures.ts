import type { PictureSource } from '../ports/picture-source.port.js';
import type { FieldProblem, GenerationInput } from './generation-input.js';
import { Picture, PictureUrl } from './picture.js';
import { MAX_IMAGE_PIXELS } from './resolve-images.js';

/** Addresses that one submission may name, each counted once: four requests with all pictures there are. */
const MAX_URLS = 32;

export type FetchedInputs =
  | { readonly ok: true; readonly inputs: readonly GenerationInput[] }
  | { readonly ok: false; readonly problems: readonly FieldProblem[] };

interface Fetching {
  readonly source: PictureSource;
  /** What stands before the fields of the input at this place when they are named. */
  readonly prefixOf: (index: number) => string;
  /** Ends it: whoever asked has gone, or this node stops. */
  readonly signal: AbortSignal;
}

/** Whether pictures are to be fetched before these can become jobs. */
export function namesUrls(inputs: readonly GenerationInput[]): boolean {
  return inputs.some((input) => picturesOf(input).some(({ picture }) => picture instanceof PictureUrl));
}

/** The inputs with what their addresses lead to, each fetched once; or a problem for every field that came to nothing. */
export async function fetchPictures(
  inputs: readonly GenerationInput[],
  { source, prefixOf, signal }: Fetching,
): Promise<FetchedInputs> {
  const fields = inputs.flatMap((input, index) =>
    picturesOf(input).flatMap(({ field, picture }) =>
      picture instanceof PictureUrl ? [{ field: prefixOf(index) + field, picture }] : [],
    ),
  );
  const urls = [...new Set(fields.map(({ picture }) => picture.url))];
  if (urls.length > MAX_URLS) return tooMany(fields, urls);
  const fetched = await source.fetchAll(urls, { maxPixels: MAX_IMAGE_PIXELS, signal });
  const found = new Map<string, Picture>();
  const refusals = new Map<string, { message: string; limit: unknown }>();
  for (const [index, result] of fetched.entries()) {
    const url = urls[index] as string;
    if (result.ok) found.set(url, new Picture(result.bytes));
    else refusals.set(url, result.refusal);
  }
  const problems = fields.flatMap(({ field, picture }): FieldProblem[] => {
    const refusal = refusals.get(picture.url);
    return refusal === undefined
      ? []
      : [{ field, message: refusal.message, value: picture.shown, limit: refusal.limit }];
  });
  return problems.length > 0
    ? { ok: false, problems }
    : { ok: true, inputs: inputs.map((each) => filled(each, found)) };
}

interface PictureField {
  readonly field: string;
  readonly picture: Picture | PictureUrl | undefined;
}

function picturesOf({ init_image, mask_image, controls = [], ip_adapter }: GenerationInput): PictureField[] {
  return [
    { field: 'init_image', picture: init_image },
    { field: 'mask_image', picture: mask_image },
    ...controls.map(({ image }, index) => ({ field: `controls[${index}].image`, picture: image })),
    { field: 'ip_adapter.image', picture: ip_adapter?.image },
  ];
}

function filled(input: GenerationInput, found: ReadonlyMap<string, Picture>): GenerationInput {
  const of = (picture: Picture | PictureUrl) =>
    picture instanceof PictureUrl ? (found.get(picture.url) ?? picture) : picture;
  const { init_image, mask_image, controls, ip_adapter } = input;
  return {
    ...input,
    ...(init_image && { init_image: of(init_image) }),
    ...(mask_image && { mask_image: of(mask_image) }),
    ...(controls && { controls: controls.map((control) => ({ ...control, image: of(control.image) })) }),
    ...(ip_adapter && { ip_adapter: { ...ip_adapter, image: of(ip_adapter.image) } }),
  };
}

function tooMany(fields: readonly { field: string; picture: PictureUrl }[], urls: readonly string[]): FetchedInputs {
  const beyond = fields.find(({ picture }) => picture.url === urls[MAX_URLS]);
  const message = `is one of ${urls.length} addresses; a submission may name ${MAX_URLS}`;
  const { field = '', picture } = beyond ?? {};
  return { ok: false, problems: [{ field, message, value: picture?.shown ?? null, limit: { max_urls: MAX_URLS } }] };
}
