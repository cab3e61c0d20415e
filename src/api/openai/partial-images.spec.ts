import { PartialImages } from './partial-images.js';

/** Steps at which the frames that were told were taken, of frames at these steps. */
function told(wanted: number, steps: number, at: readonly number[]): number[] {
  const partials = new PartialImages(wanted);
  const frames = at.map((step) => ({ jobId: 'job', step, mediaType: 'image/jpeg', data: new Uint8Array() }));
  return [...frames.map((frame) => partials.offer(frame, steps)), partials.take()].flatMap(
    (frame) => frame?.step ?? [],
  );
}

describe('partial images', () => {
  const every = (steps: number) => Array.from({ length: steps }, (_, index) => index + 1);

  it.each<[number, number, readonly number[], readonly number[]]>([
    [0, 20, every(20), []],
    [1, 20, every(20), [10]],
    [2, 20, every(20), [7, 14]],
    [3, 20, every(20), [5, 10, 15]],
    [3, 4, every(4), [1, 2, 3]],
  ])('are at most %d, spread over %d steps', (wanted, steps, frames, expected) => {
    expect(told(wanted, steps, frames)).toEqual(expected);
  });

  it('are told late rather than never when the job is quick, and no more than there were frames', () => {
    expect(told(3, 20, [1])).toEqual([1]);
    expect(told(1, 20, [1, 2, 3])).toEqual([3]);
    expect(told(3, 20, [1, 12])).toEqual([12]);
    expect(told(3, 20, [])).toEqual([]);
  });

  it('are not told twice', () => {
    expect(told(3, 4, [2])).toEqual([2]);
  });
});
