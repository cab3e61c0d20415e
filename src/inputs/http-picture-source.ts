import type { InputsConfig } from '../config/inputs.config.js';
import type { FetchBounds, FetchedPicture, PictureRefusal } from '../jobs/ports/picture-source.port.js';
import { PictureSource } from '../jobs/ports/picture-source.port.js';
import type { Surroundings } from '../net/guarded-request.js';
import { THIS_MACHINE } from '../net/guarded-request.js';
import { download } from './download.js';
import { FetchTurns } from './fetch-turns.js';
import { Allowance } from './picture-body.js';
import { permission, redirected } from './url-policy.js';

/** Pictures of one submission that are fetched at a time, so that one does not take all the turns there are. */
const AT_A_TIME = 4;

/** Of one submission. */
interface Errand extends FetchBounds {
  readonly allowance: Allowance;
}

/** Fetches pictures over http and https, within the bounds of the settings `inputs`. */
export class HttpPictureSource extends PictureSource {
  private readonly turns: FetchTurns;

  constructor(
    private readonly config: InputsConfig,
    private readonly surroundings: Surroundings = THIS_MACHINE,
  ) {
    super();
    this.turns = new FetchTurns(config.maxConcurrent);
  }

  refusal(url: string): PictureRefusal | null {
    const permitted = permission(url, this.config, this.surroundings.isPrivate);
    return permitted.ok ? null : permitted.refusal;
  }

  async fetchAll(urls: readonly string[], { maxPixels, signal: gone }: FetchBounds): Promise<FetchedPicture[]> {
    const deadline = AbortSignal.timeout(this.config.timeoutMs);
    const errand: Errand = {
      maxPixels,
      signal: AbortSignal.any([gone, deadline]),
      allowance: new Allowance(this.config.maxTotalBytes),
    };
    const fetched: FetchedPicture[] = [];
    const left = urls.entries();
    const runner = async () => {
      for (const [index, url] of left) {
        const picture = await this.inTurn(url, errand);
        // What comes of what was broken off says less than why it was.
        fetched[index] = !picture.ok && errand.signal.aborted ? failed(gone.aborted ? GONE : this.tooSlow()) : picture;
      }
    };
    await Promise.all(Array.from({ length: Math.min(AT_A_TIME, urls.length) }, runner));
    return fetched;
  }

  private async inTurn(url: string, errand: Errand): Promise<FetchedPicture> {
    const end = await this.turns.take(errand.signal);
    if (end === null) return failed(GONE);
    try {
      return await this.fetch(url, errand);
    } finally {
      end();
    }
  }

  /** Each hop is judged as the first was, and its host looked up for it alone. */
  private async fetch(url: string, errand: Errand): Promise<FetchedPicture> {
    const { config, surroundings } = this;
    const { maxBytes, allowPrivateAddresses } = config;
    const options = { ...errand, maxBytes, allowPrivateAddresses, surroundings };
    let hop = permission(url, config, surroundings.isPrivate);
    for (let taken = 0; hop.ok; taken += 1) {
      const came = await download(hop.target, options);
      if (came.outcome === 'picture') return { ok: true, bytes: came.bytes };
      if (came.outcome === 'refused') return failed(came.refusal);
      hop = redirected(hop.target, came.location, taken, config, surroundings.isPrivate);
    }
    return failed(hop.refusal);
  }

  private tooSlow(): PictureRefusal {
    const { timeoutMs } = this.config;
    const limit = { max_ms: timeoutMs, setting: 'inputs.timeout_ms' };
    return { kind: 'too_slow', message: `was not there within ${timeoutMs} ms`, limit };
  }
}

const GONE: PictureRefusal = { kind: 'gone', message: 'was not waited for', limit: null };

function failed(refusal: PictureRefusal): FetchedPicture {
  return { ok: false, refusal };
}
