import type { SchedulerOptions, SchedulerOptionValue } from './generation-request.js';

/** What a config option of a noise scheduler may be set to. */
export type OptionRule =
  | { readonly type: 'boolean' }
  | { readonly type: 'integer'; readonly min: number; readonly max: number }
  | { readonly type: 'number'; readonly min: number; readonly max: number }
  | { readonly type: 'choice'; readonly values: readonly string[] };

const BOOLEAN: OptionRule = { type: 'boolean' };
const SPACING: OptionRule = { type: 'choice', values: ['linspace', 'leading', 'trailing'] };
const SIGMAS = { use_karras_sigmas: BOOLEAN, use_exponential_sigmas: BOOLEAN, timestep_spacing: SPACING };
const FINAL_SIGMAS: OptionRule = { type: 'choice', values: ['zero', 'sigma_min'] };
const ORDER: OptionRule = { type: 'integer', min: 1, max: 3 };
const MULTISTEP = { ...SIGMAS, solver_order: ORDER, lower_order_final: BOOLEAN };

/**
 * Noise schedulers a request may name, by diffusers class name, with the config options it may set.
 *
 * The worker holds the same list with the overrides each class needs to give right pictures on any model's config; a
 * contract test compares the two. Left out on purpose: IPNDM (ignores betas and prediction type), schedulers over discrete
 * tokens, and those that need packages the worker does not install (LMS and beta sigmas: scipy; DPM SDE: torchsde).
 */
export const NOISE_SCHEDULERS: Readonly<Record<string, Readonly<Record<string, OptionRule>>>> = {
  DDIMScheduler: { timestep_spacing: SPACING },
  DDPMScheduler: { timestep_spacing: SPACING },
  DEISMultistepScheduler: { ...MULTISTEP },
  DPMSolverMultistepScheduler: {
    ...MULTISTEP,
    algorithm_type: { type: 'choice', values: ['dpmsolver++', 'sde-dpmsolver++'] },
    solver_type: { type: 'choice', values: ['midpoint', 'heun'] },
    euler_at_final: BOOLEAN,
    final_sigmas_type: FINAL_SIGMAS,
  },
  DPMSolverSinglestepScheduler: {
    use_karras_sigmas: BOOLEAN,
    use_exponential_sigmas: BOOLEAN,
    solver_order: ORDER,
    solver_type: { type: 'choice', values: ['midpoint', 'heun'] },
    final_sigmas_type: FINAL_SIGMAS,
  },
  EulerAncestralDiscreteScheduler: { timestep_spacing: SPACING },
  EulerDiscreteScheduler: { ...SIGMAS, final_sigmas_type: FINAL_SIGMAS },
  FlowMatchEulerDiscreteScheduler: { shift: { type: 'number', min: 0.01, max: 100 } },
  HeunDiscreteScheduler: { ...SIGMAS },
  KDPM2AncestralDiscreteScheduler: { ...SIGMAS },
  KDPM2DiscreteScheduler: { ...SIGMAS },
  LCMScheduler: { timestep_spacing: SPACING },
  PNDMScheduler: { timestep_spacing: SPACING, skip_prk_steps: BOOLEAN },
  SASolverScheduler: { use_karras_sigmas: BOOLEAN, use_exponential_sigmas: BOOLEAN, timestep_spacing: SPACING },
  TCDScheduler: { timestep_spacing: SPACING },
  UniPCMultistepScheduler: {
    ...MULTISTEP,
    solver_type: { type: 'choice', values: ['bh1', 'bh2'] },
    final_sigmas_type: FINAL_SIGMAS,
  },
};

const FLOW_MATCHING = new Set(['FlowMatchEulerDiscreteScheduler']);

/** Class names a model can be run with: flow matching and the others exclude each other. */
export function schedulersFor(flowMatching: boolean): string[] {
  return Object.keys(NOISE_SCHEDULERS).filter((name) => FLOW_MATCHING.has(name) === flowMatching);
}

/** Names of AUTOMATIC1111's samplers, as people write them, for a class and its options. */
const ALIASES: ReadonlyMap<string, readonly [string, SchedulerOptions]> = new Map([
  ['dpm++ 2m', ['DPMSolverMultistepScheduler', { use_karras_sigmas: false }]],
  ['dpm++ 2m karras', ['DPMSolverMultistepScheduler', { use_karras_sigmas: true }]],
  ['dpm++ 2m sde', ['DPMSolverMultistepScheduler', { algorithm_type: 'sde-dpmsolver++', use_karras_sigmas: false }]],
  [
    'dpm++ 2m sde karras',
    ['DPMSolverMultistepScheduler', { algorithm_type: 'sde-dpmsolver++', use_karras_sigmas: true }],
  ],
  ['dpm++ 2s a', ['DPMSolverSinglestepScheduler', { use_karras_sigmas: false }]],
  ['dpm++ 2s a karras', ['DPMSolverSinglestepScheduler', { use_karras_sigmas: true }]],
  ['dpm2', ['KDPM2DiscreteScheduler', { use_karras_sigmas: false }]],
  ['dpm2 karras', ['KDPM2DiscreteScheduler', { use_karras_sigmas: true }]],
  ['dpm2 a', ['KDPM2AncestralDiscreteScheduler', { use_karras_sigmas: false }]],
  ['dpm2 a karras', ['KDPM2AncestralDiscreteScheduler', { use_karras_sigmas: true }]],
  ['euler', ['EulerDiscreteScheduler', {}]],
  ['euler a', ['EulerAncestralDiscreteScheduler', {}]],
  ['heun', ['HeunDiscreteScheduler', {}]],
  ['ddim', ['DDIMScheduler', {}]],
  ['plms', ['PNDMScheduler', {}]],
  ['unipc', ['UniPCMultistepScheduler', {}]],
  ['lcm', ['LCMScheduler', {}]],
  ['tcd', ['TCDScheduler', {}]],
  ['deis', ['DEISMultistepScheduler', {}]],
]);

/** Class and implied options behind a name: a class name stands for itself, an AUTOMATIC1111 name for what it means there. */
export function resolveSchedulerName(name: string): { scheduler: string; options: SchedulerOptions } | null {
  if (Object.hasOwn(NOISE_SCHEDULERS, name)) return { scheduler: name, options: {} };
  const alias = ALIASES.get(name.trim().toLowerCase());
  return alias ? { scheduler: alias[0], options: alias[1] } : null;
}

/** Why a value does not fit a rule, as the limit to show; null when it fits. */
export function optionLimit(rule: OptionRule, value: SchedulerOptionValue): string | null {
  switch (rule.type) {
    case 'boolean':
      return typeof value === 'boolean' ? null : 'true or false';
    case 'choice':
      return typeof value === 'string' && rule.values.includes(value) ? null : `one of ${rule.values.join(', ')}`;
    case 'integer':
    case 'number': {
      const whole = rule.type === 'number' || Number.isInteger(value);
      const fits = typeof value === 'number' && whole && value >= rule.min && value <= rule.max;
      return fits ? null : `${rule.type} from ${rule.min} to ${rule.max}`;
    }
  }
}
