import { modelDescription } from '../../../test/support/api.js';
import { newJob } from '../../../test/support/jobs.js';
import type { ExecutionPlan } from '../generation/execution-plan.js';
import { planFor } from '../generation/execution-plan.js';
import type { GenerationRequest } from '../generation/generation-request.js';
import type { Phase } from '../job/phase.js';
import { PHASES } from '../job/phase.js';
import type { MaxDegradation, RungName } from './degradation.js';
import { MAX_DEGRADATIONS, RUNG_NAMES } from './degradation.js';
import { accepts, LADDER, ladderTerms, nextRung, onRungs } from './ladder.js';

const MODEL = modelDescription({ components: { text_encoder: 100, unet: 1000, vae: 200 } });
const TERMS = ladderTerms(MODEL);

function planOf(request: Partial<GenerationRequest> = {}): ExecutionPlan {
  return planFor({ ...newJob({ request: { width: 768, height: 512, num_images: 4, ...request } }) }, 1, MODEL, {
    stagingDir: '/staging',
    solo: false,
    resumeFrom: null,
    previewIntervalMs: 0,
    checkpointIntervalMs: 0,
    inputPath: () => '',
  });
}

/** Rungs taken one after the other for want of memory in a phase. */
function climbed(plan: ExecutionPlan, phase: Phase | null, maxDegradation: MaxDegradation = 'reduced'): RungName[] {
  const taken: RungName[] = [];
  const acceptance = { maxDegradation, exact: plan.exact };
  for (let standing = plan; ;) {
    const rung = nextRung(standing, phase, acceptance, TERMS);
    if (rung === null) return taken;
    taken.push(rung.name);
    standing = rung.apply(standing, TERMS)!;
  }
}

describe('the ladder', () => {
  it('has every rung of the domain, in its order', () => {
    expect(LADDER.map(({ name }) => name)).toEqual([...RUNG_NAMES]);
  });

  it('is climbed to its end, the batch halved until one image is left', () => {
    expect(climbed(planOf(), null)).toEqual([
      'smaller_batch',
      'smaller_batch',
      'vae_tiling',
      'phase_residency',
      'group_offload',
      'lower_resolution',
    ]);
  });

  it('slices the VAE where a batch is left to slice', () => {
    expect(climbed(planOf(), 'decode', 'equivalent').slice(0, 3)).toEqual([
      'smaller_batch',
      'smaller_batch',
      'vae_tiling',
    ]);
    const exact = LADDER.find(({ name }) => name === 'vae_slicing')!.apply(planOf(), TERMS);
    expect(exact?.memory.vaeSlicing).toBe(true);
  });

  it.each<[Phase, RungName[]]>([
    ['load', ['phase_residency', 'group_offload']],
    ['encode', ['phase_residency']],
    ['prepare', ['vae_tiling', 'phase_residency', 'lower_resolution']],
    ['denoise', ['phase_residency', 'group_offload', 'lower_resolution']],
    ['decode', ['vae_tiling', 'phase_residency', 'lower_resolution']],
  ])('takes for one image that does not fit in %s only what helps there', (phase, rungs) => {
    expect(climbed(planOf({ num_images: 1 }), phase)).toEqual(rungs);
  });

  it.each<[MaxDegradation, RungName[]]>([
    ['none', []],
    ['identical', ['phase_residency', 'group_offload']],
    ['equivalent', ['vae_tiling', 'phase_residency', 'group_offload']],
    ['reduced', ['vae_tiling', 'phase_residency', 'group_offload', 'lower_resolution']],
  ])('goes no further than a request accepts: %s', (maxDegradation, rungs) => {
    expect(climbed(planOf({ num_images: 1 }), null, maxDegradation)).toEqual(rungs);
  });

  it('changes no bit of what was promised exactly, whatever else is accepted', () => {
    expect(climbed(planOf({ exact: true }), null, 'reduced')).toEqual(['phase_residency', 'group_offload']);
    for (const maxDegradation of MAX_DEGRADATIONS) {
      const changing = LADDER.filter(({ fidelity }) => fidelity !== 'identical');
      expect(changing.some((rung) => accepts(rung, { maxDegradation, exact: true }))).toBe(false);
    }
  });

  it('leaves a small picture whole: its tiles would show', () => {
    expect(climbed(planOf({ num_images: 1, width: 256, height: 256 }), 'decode')).not.toContain('vae_tiling');
    expect(climbed(planOf({ num_images: 1, width: 264, height: 64 }), 'decode')).toContain('vae_tiling');
  });

  it('lowers 768 to 576, to a multiple the model can make and not below what it accepts', () => {
    const lower = (width: number, height: number) => {
      const { width: w, height: h } = onRungs(planOf({ width, height }), ['lower_resolution'], TERMS);
      return [w, h];
    };
    expect(lower(768, 512)).toEqual([576, 384]);
    expect(lower(72, 64)).toEqual([64, 64]);
    expect(lower(64, 64)).toEqual([64, 64]);
  });

  it('lowers the resolution once', () => {
    const once = onRungs(planOf(), ['lower_resolution'], TERMS);
    expect(onRungs(once, ['lower_resolution'], TERMS)).toBe(once);
  });

  it('moves only components the model has', () => {
    const { residency } = onRungs(planOf(), ['phase_residency', 'group_offload'], TERMS).memory;
    expect(residency).toEqual({ text_encoder: 'phase', unet: 'group_offload', vae: 'phase' });
    const unknown = ladderTerms(modelDescription({ components: {} }));
    expect(onRungs(planOf(), ['phase_residency', 'group_offload'], unknown).memory.residency).toEqual({});
  });

  it('leaves the plan it starts from as it is', () => {
    const plan = planOf();
    const before = structuredClone(plan);
    onRungs(plan, RUNG_NAMES, TERMS);
    expect(plan).toEqual(before);
  });

  it('has a rung for each phase that takes memory', () => {
    const relieved = new Set(LADDER.flatMap(({ relieves }) => relieves));
    expect(PHASES.filter((phase) => !relieved.has(phase))).toEqual([]);
  });
});
