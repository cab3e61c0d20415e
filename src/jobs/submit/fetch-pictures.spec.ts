import type { FetchBounds, FetchedPicture } from '../ports/picture-source.port.js';
import { PictureSource } from '../ports/picture-source.port.js';
import { fetchPictures, namesUrls } from './fetch-pictures.js';
import type { GenerationInput } from './generation-input.js';
import { Picture, PictureUrl } from './picture.js';

const SENT = new Picture(Buffer.from('sent'));
const LOST = { kind: 'bad_answer', message: 'was answered with 404 by its host', limit: { status: 200 } } as const;

/** Has a picture of its own under every address but those that are lost. */
class Shelf extends PictureSource {
  readonly asked: (readonly string[])[] = [];
  readonly bounds: FetchBounds[] = [];

  refusal() {
    return null;
  }

  fetchAll(urls: readonly string[], bounds: FetchBounds): Promise<FetchedPicture[]> {
    this.asked.push(urls);
    this.bounds.push(bounds);
    return Promise.resolve(
      urls.map((url) =>
        url.includes('lost') ? { ok: false, refusal: LOST } : { ok: true, bytes: Buffer.from(`at ${url}`) },
      ),
    );
  }
}

const at = (url: string) => new PictureUrl(url);
const found = (url: string) => new Picture(Buffer.from(`at ${url}`));

describe('fetchPictures', () => {
  let source: Shelf;
  beforeEach(() => {
    source = new Shelf();
  });
  const fetchFor = (inputs: GenerationInput[], prefixOf: (index: number) => string = () => '') =>
    fetchPictures(inputs, { source, prefixOf, signal: new AbortController().signal });

  it('puts what it finds where its address stood, each address once, and leaves the rest', async () => {
    const inputs: GenerationInput[] = [
      {
        prompt: 'x',
        strength: 0.5,
        init_image: at('http://a/1'),
        mask_image: at('http://a/2'),
        controls: [
          { id: 'canny', image: at('http://a/1'), scale: 0.5 },
          { id: 'depth', image: SENT },
        ],
        ip_adapter: { id: 'face', image: at('http://a/3'), scale: 2 },
      },
      { prompt: 'y', init_image: at('http://a/2') },
      { prompt: 'z', init_image: SENT },
      { prompt: 'none' },
    ];
    expect(await fetchFor(inputs)).toEqual({
      ok: true,
      inputs: [
        {
          prompt: 'x',
          strength: 0.5,
          init_image: found('http://a/1'),
          mask_image: found('http://a/2'),
          controls: [
            { id: 'canny', image: found('http://a/1'), scale: 0.5 },
            { id: 'depth', image: SENT },
          ],
          ip_adapter: { id: 'face', image: found('http://a/3'), scale: 2 },
        },
        { prompt: 'y', init_image: found('http://a/2') },
        { prompt: 'z', init_image: SENT },
        { prompt: 'none' },
      ],
    });
    expect(source.asked).toEqual([['http://a/1', 'http://a/2', 'http://a/3']]);
    expect(source.bounds).toMatchObject([{ maxPixels: 64_000_000 }]);
  });

  it('names every field that came to nothing, and no secret of its address', async () => {
    const lost = at('https://a/lost.png?signature=secret#part');
    const inputs: GenerationInput[] = [
      { prompt: 'x', init_image: at('http://a/1'), controls: [{ id: 'canny', image: lost }] },
      { prompt: 'y', init_image: lost, mask_image: lost, ip_adapter: { id: 'face', image: lost } },
    ];
    const problem = (field: string) => ({
      field,
      message: LOST.message,
      value: 'https://a/lost.png?…',
      limit: LOST.limit,
    });
    expect(await fetchFor(inputs, (index) => `requests[${index}].`)).toEqual({
      ok: false,
      problems: [
        problem('requests[0].controls[0].image'),
        problem('requests[1].init_image'),
        problem('requests[1].mask_image'),
        problem('requests[1].ip_adapter.image'),
      ],
    });
  });

  it('asks for no more addresses than a submission may name', async () => {
    const inputs = (count: number) =>
      Array.from({ length: count }, (_, index) => ({ prompt: 'x', init_image: at(`http://a/${index}?k=secret`) }));
    expect(await fetchFor([...inputs(32), ...inputs(32)])).toMatchObject({ ok: true });
    const prefixOf = (index: number) => `requests[${index}].`;
    expect(await fetchFor([...inputs(1), ...inputs(33)], prefixOf)).toEqual({
      ok: false,
      problems: [
        {
          field: 'requests[33].init_image',
          message: 'is one of 33 addresses; a submission may name 32',
          value: 'http://a/32?…',
          limit: { max_urls: 32 },
        },
      ],
    });
    expect(source.asked).toHaveLength(1);
  });
});

describe('namesUrls', () => {
  it('tells wherever one stands', () => {
    const url = at('http://a/1');
    expect(namesUrls([{ prompt: 'x' }, { prompt: 'x', init_image: SENT, controls: [] }])).toBe(false);
    for (const input of [
      { init_image: url },
      { mask_image: url },
      {
        controls: [
          { id: 'a', image: SENT },
          { id: 'b', image: url },
        ],
      },
      { ip_adapter: { id: 'a', image: url } },
    ])
      expect(namesUrls([{ prompt: 'x' }, { prompt: 'x', ...input }])).toBe(true);
  });
});

describe('PictureUrl', () => {
  it.each([
    ['https://example.org/cat.png', 'https://example.org/cat.png'],
    ['https://example.org/cat.png?token=secret#secret', 'https://example.org/cat.png?…'],
    ['https://me:secret@example.org:8443/cat', 'https://…@example.org:8443/cat'],
    [`https://example.org/${'a'.repeat(90)}?secret`, `https://example.org/${'a'.repeat(60)}…?…`],
    ['https://me:secret@[/cat', 'https:…'],
  ])('shows %s as %s', (url, shown) => {
    expect(at(url).shown).toBe(shown);
    expect(JSON.stringify(at(url))).not.toContain('secret');
  });

  it('is told apart by all of its address', () => {
    expect(JSON.stringify(at('http://a/?id=1'))).not.toBe(JSON.stringify(at('http://a/?id=2')));
    expect(JSON.stringify(at('http://a/?id=1'))).toBe(JSON.stringify(at('http://a/?id=1')));
  });
});
