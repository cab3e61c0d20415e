import type { SchedulerOptions, SchedulerOptionValue } from './generation-request.js';
import type { PipelineFamily } from './pipeline-family.js';

/** What ComfyUI calls a noise scheduler: how it steps (`sampler`), and at which noise levels (`schedule`). */
export interface ComfyUiSampling {
  readonly sampler: string;
  readonly schedule: string;
}

/** A request that no ComfyUI workflow of ours stands for: which field, and what it may be instead. */
export interface Inexpressible {
  /** In the API's name. */
  readonly field: string;
  readonly value: unknown;
  readonly message: string;
  readonly limit: unknown;
}

interface Counterpart {
  readonly sampler: string;
  /** Where no option asks for another. */
  readonly schedule: string;
  /** Whether the sampler takes noise levels of any spacing. */
  readonly spaced: boolean;
  /** Values of options under which another sampler is meant, or this one; those of other options have no counterpart. */
  readonly options?: Readonly<Record<string, readonly (readonly [SchedulerOptionValue, string])[]>>;
}

/**
 * By diffusers class name: the samplers of ComfyUI that follow the same formulas. Left out are those that it has under the
 * same name with other ones (singlestep DPM-Solver++ is ancestral there), and those it has not.
 */
const COUNTERPARTS: Readonly<Record<string, Counterpart>> = {
  DDIMScheduler: { sampler: 'ddim', schedule: 'ddim_uniform', spaced: false },
  DDPMScheduler: { sampler: 'ddpm', schedule: 'normal', spaced: false },
  DEISMultistepScheduler: { sampler: 'deis', schedule: 'normal', spaced: true },
  DPMSolverMultistepScheduler: {
    sampler: 'dpmpp_2m',
    schedule: 'normal',
    spaced: true,
    options: {
      algorithm_type: [
        ['dpmsolver++', 'dpmpp_2m'],
        ['sde-dpmsolver++', 'dpmpp_2m_sde'],
      ],
      solver_order: [[2, '']],
      solver_type: [['midpoint', '']],
    },
  },
  EulerAncestralDiscreteScheduler: { sampler: 'euler_ancestral', schedule: 'normal', spaced: false },
  EulerDiscreteScheduler: { sampler: 'euler', schedule: 'normal', spaced: true },
  HeunDiscreteScheduler: { sampler: 'heun', schedule: 'normal', spaced: true },
  KDPM2AncestralDiscreteScheduler: { sampler: 'dpm_2_ancestral', schedule: 'normal', spaced: true },
  KDPM2DiscreteScheduler: { sampler: 'dpm_2', schedule: 'normal', spaced: true },
  LCMScheduler: { sampler: 'lcm', schedule: 'sgm_uniform', spaced: false },
  UniPCMultistepScheduler: {
    sampler: 'uni_pc_bh2',
    schedule: 'normal',
    spaced: true,
    options: {
      solver_type: [
        ['bh1', 'uni_pc'],
        ['bh2', 'uni_pc_bh2'],
      ],
    },
  },
};

const FLOW: Readonly<Record<string, Counterpart>> = {
  FlowMatchEulerDiscreteScheduler: { sampler: 'euler', schedule: 'simple', spaced: false },
};

/** Schedules by the options of diffusers that ask for them, the first that is set counts. */
const SPACINGS = { use_karras_sigmas: 'karras', use_exponential_sigmas: 'exponential' } as const;
const TIMESTEP_SPACINGS: Readonly<Record<string, string>> = {
  linspace: 'normal',
  leading: 'ddim_uniform',
  trailing: 'sgm_uniform',
};

function counterpartsOf(family: PipelineFamily): Readonly<Record<string, Counterpart>> {
  return family === 'flux' ? FLOW : COUNTERPARTS;
}

/** Class names of diffusers that have a counterpart. */
export function comfyUiSchedulers(family: PipelineFamily): string[] {
  return Object.keys(counterpartsOf(family));
}

/** What stands for a noise scheduler and its options, or which of them nothing stands for. */
export function comfyUiSampling(
  family: PipelineFamily,
  scheduler: string,
  options: SchedulerOptions,
): { readonly sampling: ComfyUiSampling } | { readonly problem: Inexpressible } {
  const known = comfyUiSchedulers(family);
  const counterpart = Object.hasOwn(counterpartsOf(family), scheduler) ? counterpartsOf(family)[scheduler] : undefined;
  if (counterpart === undefined) {
    const message = 'ComfyUI has no sampler that stands for this noise scheduler';
    return { problem: { field: 'scheduler', value: scheduler, message, limit: known } };
  }
  let { sampler, schedule } = counterpart;
  for (const [name, value] of Object.entries(options)) {
    const meant = meaning(counterpart, name, value, options);
    if (meant === null) {
      const message = `the sampler ${sampler} of ComfyUI has no counterpart of this value`;
      return { problem: { field: `scheduler_options.${name}`, value, message, limit: allowedFor(counterpart, name) } };
    }
    sampler = meant.sampler ?? sampler;
    schedule = meant.schedule ?? schedule;
  }
  return { sampling: { sampler, schedule } };
}

/** What a value of an option changes; null: nothing stands for it. */
function meaning(
  { options = {}, spaced }: Counterpart,
  name: string,
  value: SchedulerOptionValue,
  all: SchedulerOptions,
): Partial<ComfyUiSampling> | null {
  if (name === 'use_karras_sigmas' || name === 'use_exponential_sigmas') {
    if (!spaced) return value === false ? {} : null;
    return value === true ? { schedule: SPACINGS[name] } : {};
  }
  if (name === 'timestep_spacing') {
    // Beside one of those it moves the ends of the schedule only, for which ComfyUI has no word.
    if (!spaced || Object.keys(SPACINGS).some((other) => all[other] === true)) return null;
    const schedule = TIMESTEP_SPACINGS[String(value)];
    return schedule === undefined ? null : { schedule };
  }
  const found = options[name]?.find(([meant]) => meant === value);
  if (found === undefined) return null;
  return found[1] === '' ? {} : { sampler: found[1] };
}

function allowedFor({ options = {}, spaced }: Counterpart, name: string): unknown {
  if (name in SPACINGS) return spaced ? [true, false] : [false];
  if (name === 'timestep_spacing') return spaced ? Object.keys(TIMESTEP_SPACINGS) : { absent: true };
  return options[name]?.map(([value]) => value) ?? { absent: true };
}
