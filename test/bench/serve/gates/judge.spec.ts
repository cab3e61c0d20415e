import type { FullLoadFigures } from './full-load.js';
import { judgeGates } from './judge.js';
import type { LoneJobFigures } from './lone-job.js';

const lone = { bare: 100, served: 115 } as LoneJobFigures;
const fullLoad = {
  experiment: { figures: { requests: 10, succeeded: 10 }, pictures: { compared: 12, wrong: 0 } },
  liveness: { probes: 1000, failed: 0, p99: 20 },
} as FullLoadFigures;

const withPictures = (pictures: object, figures: object = {}) =>
  ({
    ...fullLoad,
    experiment: {
      figures: { ...fullLoad.experiment.figures, ...figures },
      pictures: { ...fullLoad.experiment.pictures, ...pictures },
    },
  }) as FullLoadFigures;
const withLiveness = (liveness: object) => ({ ...fullLoad, liveness: { ...fullLoad.liveness, ...liveness } });

const met = (someLone: LoneJobFigures, load: FullLoadFigures) => judgeGates(someLone, load).map(({ isMet }) => isMet);

describe('the gates', () => {
  it('are met at their bounds', () => expect(met(lone, fullLoad)).toEqual([true, true, true]));

  it('are missed by a lone job that takes longer than 1.1 times the bare call and 5 ms', () =>
    expect(met({ ...lone, served: 115.1 }, fullLoad)).toEqual([false, true, true]));

  it.each([
    ['a wrong picture', withPictures({ wrong: 1 })],
    ['a picture that did not come', withPictures({}, { succeeded: 9 })],
    ['no picture at all', withPictures({ compared: 0 })],
  ])('are missed by %s', (_, load) => expect(met(lone, load)).toEqual([true, false, true]));

  it.each([
    ['slow liveness', withLiveness({ p99: 20.1 })],
    ['a probe without an answer', withLiveness({ failed: 1 })],
    ['no probe at all', withLiveness({ probes: 0 })],
  ])('are missed by %s', (_, load) => expect(met(lone, load)).toEqual([true, true, false]));
});
