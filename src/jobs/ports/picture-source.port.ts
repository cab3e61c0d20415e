/**
 * Why a picture is not had from an address. `off`: none are; `not_allowed`: the address itself, or one it redirects to, is
 * none that may be asked; `unreachable`: no connection, or one that broke; `bad_answer`: what came is no answer with a
 * picture in it; `gone`: nobody waits for it any more.
 */
export type PictureRefusalKind =
  'off' | 'not_allowed' | 'unreachable' | 'bad_answer' | 'too_slow' | 'too_large' | 'no_picture' | 'gone';

/** Tells neither what came from there nor more of the address than its host. */
export interface PictureRefusal {
  readonly kind: PictureRefusalKind;
  /** Says of the field what is wrong with it, as in "must be …". */
  readonly message: string;
  /** What would be accepted. */
  readonly limit: unknown;
}

/** `bytes`: a whole file that begins as a picture of at most the pixels asked for. */
export type FetchedPicture =
  { readonly ok: true; readonly bytes: Uint8Array } | { readonly ok: false; readonly refusal: PictureRefusal };

export interface FetchBounds {
  /** Most pixels of a picture, by its header. */
  readonly maxPixels: number;
  /** Ends all fetching at once: whoever asked has gone, or this node stops. */
  readonly signal: AbortSignal;
}

/** Where pictures come from that a request names by their address. */
export abstract class PictureSource {
  /** Why this address is not asked, as far as it can be told without asking anybody; null: nothing stands against it so far. */
  abstract refusal(url: string): PictureRefusal | null;
  /**
   * Fetches the pictures of one submission, answers in the order of the addresses. All are asked, whatever becomes of one.
   * Never rejects, and ends within a bounded time.
   */
  abstract fetchAll(urls: readonly string[], bounds: FetchBounds): Promise<readonly FetchedPicture[]>;
}
