import type { NativeJob } from '../native-client.js';
import { partsOf } from './lone-job.js';

const at = (ms: number) => new Date(ms).toISOString();
const phase = (name: string, from: number, to: number) => ({ name, started_at: at(from), finished_at: at(to) });

describe('the parts of a lone job', () => {
  it('add up to its time, the way to the worker and back included', () => {
    const attempts = [
      {
        started_at: at(1004),
        finished_at: at(1260),
        phases: [
          phase('load', 1005, 1006),
          phase('encode', 1006, 1010),
          phase('denoise', 1010, 1240),
          phase('decode', 1240, 1246),
          phase('validate', 1246, 1247),
          phase('save', 1247, 1251),
        ],
      },
    ];
    expect(partsOf({ attempts } as unknown as NativeJob, 1000, 1262)).toEqual({
      before: 6,
      drawing: 240,
      saving: 5,
      after: 11,
    });
  });
});
