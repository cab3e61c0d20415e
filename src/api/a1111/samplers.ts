import type { SchedulerOptions } from '../../domain/generation/generation-request.js';
import type { ModelDescription } from '../../domain/generation/model-description.js';
import { NOISE_SCHEDULERS, resolveSchedulerName } from '../../domain/generation/noise-scheduler.js';
import type { FieldProblem } from '../../jobs/submit/generation-input.js';

/** How the noise levels are spaced, in AUTOMATIC1111's words. */
interface Schedule {
  readonly name: string;
  readonly label: string;
}

/**
 * Those that diffusers has, by the table of its own documentation
 * (https://huggingface.co/docs/diffusers/api/schedulers/overview#noise-schedules-and-schedule-types).
 */
export const SCHEDULES = [
  { name: 'automatic', label: 'Automatic' },
  { name: 'uniform', label: 'Uniform' },
  { name: 'karras', label: 'Karras' },
  { name: 'exponential', label: 'Exponential' },
  { name: 'sgm_uniform', label: 'SGM Uniform' },
  { name: 'simple', label: 'Simple' },
] as const satisfies readonly Schedule[];

type ScheduleName = (typeof SCHEDULES)[number]['name'];

interface Sampler {
  readonly name: string;
  readonly aliases: readonly string[];
  /** What `Automatic` stands for with it: modules/sd_samplers_kdiffusion.py of version 1.10. */
  readonly automatic: Exclude<ScheduleName, 'automatic'>;
}

/** Each name is one that the domain knows the class of. */
const SAMPLERS: readonly Sampler[] = [
  { name: 'DPM++ 2M', aliases: ['k_dpmpp_2m'], automatic: 'karras' },
  { name: 'DPM++ 2M SDE', aliases: ['k_dpmpp_2m_sde'], automatic: 'exponential' },
  { name: 'DPM++ 2S a', aliases: ['k_dpmpp_2s_a'], automatic: 'karras' },
  { name: 'Euler a', aliases: ['k_euler_a', 'k_euler_ancestral'], automatic: 'uniform' },
  { name: 'Euler', aliases: ['k_euler'], automatic: 'uniform' },
  { name: 'Heun', aliases: ['k_heun'], automatic: 'uniform' },
  { name: 'DPM2', aliases: ['k_dpm_2'], automatic: 'karras' },
  { name: 'DPM2 a', aliases: ['k_dpm_2_a'], automatic: 'karras' },
  { name: 'DDIM', aliases: ['ddim'], automatic: 'uniform' },
  { name: 'PLMS', aliases: ['plms'], automatic: 'uniform' },
  { name: 'UniPC', aliases: ['unipc'], automatic: 'uniform' },
  { name: 'LCM', aliases: ['k_lcm'], automatic: 'uniform' },
  { name: 'TCD', aliases: ['tcd'], automatic: 'uniform' },
  { name: 'DEIS', aliases: ['deis'], automatic: 'uniform' },
];

/** What `Euler` means to models that match flows; no other sampler is theirs. */
const FLOW_EULER = 'FlowMatchEulerDiscreteScheduler';

interface NoiseScheduler {
  readonly scheduler: string;
  readonly scheduler_options: SchedulerOptions;
}

/** Neither `sampler_name` nor `scheduler`: the model's own. */
type SamplerChoice =
  | { readonly ok: true; readonly chosen: NoiseScheduler | null }
  | { readonly ok: false; readonly problem: FieldProblem };

/** Samplers that some model can be run with. */
export function samplersOf(models: readonly ModelDescription[]): readonly Sampler[] {
  return SAMPLERS.filter(({ name }) => models.some((model) => classFor(name, model) !== null));
}

/** The noise scheduler behind `sampler_name` and `scheduler`; a class name of diffusers stands for itself. */
export function resolveSampler(
  samplerName: string | undefined,
  scheduleName: string | undefined,
  model: ModelDescription,
): SamplerChoice {
  const asked = scheduleOf(scheduleName ?? 'automatic');
  if (asked === null)
    return refused(
      'scheduler',
      'no such schedule is known here',
      scheduleName,
      SCHEDULES.map(({ name }) => name),
    );
  const named = nonEmpty(samplerName);
  if (named === null) {
    if (asked === 'automatic') return { ok: true, chosen: null };
    return resolveSampler(samplerOf(model.defaults.scheduler), asked, model);
  }
  if (Object.hasOwn(NOISE_SCHEDULERS, named) && asked === 'automatic')
    return { ok: true, chosen: { scheduler: named, scheduler_options: {} } };
  const { sampler, schedule } = splitName(named, asked);
  const scheduler = sampler === null ? null : classFor(sampler.name, model);
  if (sampler === null || scheduler === null) {
    const message = sampler === null ? 'no such sampler is known here' : `the model ${model.id} cannot be run with it`;
    return refused(
      'sampler_name',
      message,
      named,
      samplersOf([model]).map(({ name }) => name),
    );
  }
  const spacing = schedule === 'automatic' ? sampler.automatic : schedule;
  const options = spacingOptions(spacing, scheduler);
  if (options === null) {
    const possible = SCHEDULES.filter(({ name }) => name === 'automatic' || spacingOptions(name, scheduler) !== null);
    return refused(
      'scheduler',
      `${sampler.name} cannot be run with it`,
      schedule,
      possible.map(({ name }) => name),
    );
  }
  const implied = resolveSchedulerName(sampler.name)?.options ?? {};
  const own = scheduler === FLOW_EULER ? {} : { ...implied, ...options };
  return { ok: true, chosen: { scheduler, scheduler_options: own } };
}

/** Names that {@link resolveSampler} reads back to the same noise scheduler; of a schedule that needs no word, null. */
export function namesOf({ scheduler, scheduler_options: options }: NoiseScheduler): {
  sampler: string;
  schedule: string | null;
} {
  const label = (name: ScheduleName) => SCHEDULES.find((schedule) => schedule.name === name)?.label ?? null;
  const sampler = options['algorithm_type'] === 'sde-dpmsolver++' ? 'DPM++ 2M SDE' : samplerOf(scheduler);
  if (options['use_karras_sigmas'] === true) return { sampler, schedule: label('karras') };
  if (options['use_exponential_sigmas'] === true) return { sampler, schedule: label('exponential') };
  if (options['timestep_spacing'] === 'trailing') return { sampler, schedule: label('sgm_uniform') };
  return { sampler, schedule: options['use_karras_sigmas'] === false ? label('uniform') : null };
}

/** AUTOMATIC1111's name for a class; the class's own where there is none. */
function samplerOf(scheduler: string): string {
  if (scheduler === FLOW_EULER) return 'Euler';
  return SAMPLERS.find(({ name }) => resolveSchedulerName(name)?.scheduler === scheduler)?.name ?? scheduler;
}

function classFor(sampler: string, { schedulers }: ModelDescription): string | null {
  const named = resolveSchedulerName(sampler)?.scheduler;
  if (named !== undefined && schedulers.includes(named)) return named;
  return sampler === 'Euler' && schedulers.includes(FLOW_EULER) ? FLOW_EULER : null;
}

/** Names of version 1.8 and before hold the schedule: `DPM++ 2M Karras`. One that is given apart wins. */
function splitName(name: string, asked: ScheduleName): { sampler: Sampler | null; schedule: ScheduleName } {
  const lower = name.toLowerCase();
  const find = (wanted: string) =>
    SAMPLERS.find((sampler) => sampler.name.toLowerCase() === wanted || sampler.aliases.includes(wanted)) ?? null;
  const whole = find(lower);
  if (whole !== null) return { sampler: whole, schedule: asked };
  for (const { name: schedule, label } of SCHEDULES) {
    if (!lower.endsWith(` ${label.toLowerCase()}`)) continue;
    const sampler = find(lower.slice(0, -label.length - 1).trim());
    if (sampler !== null) return { sampler, schedule: asked === 'automatic' ? schedule : asked };
  }
  return { sampler: null, schedule: asked };
}

/** Null: diffusers' class has no such spacing. */
function spacingOptions(spacing: ScheduleName, scheduler: string): SchedulerOptions | null {
  const rules = NOISE_SCHEDULERS[scheduler] ?? {};
  const flags = ['use_karras_sigmas', 'use_exponential_sigmas'].filter((flag) => Object.hasOwn(rules, flag));
  // Said and not left out: the config of a model may name another spacing.
  const off = Object.fromEntries(flags.map((flag) => [flag, false]));
  switch (spacing) {
    case 'automatic':
    case 'uniform':
      return off;
    case 'karras':
      return flags.includes('use_karras_sigmas') ? { use_karras_sigmas: true } : null;
    case 'exponential':
      return flags.includes('use_exponential_sigmas') ? { use_exponential_sigmas: true } : null;
    case 'sgm_uniform':
    case 'simple':
      // The one flow matching has by itself.
      if (scheduler === FLOW_EULER) return {};
      return Object.hasOwn(rules, 'timestep_spacing') ? { ...off, timestep_spacing: 'trailing' } : null;
  }
}

function scheduleOf(given: string): ScheduleName | null {
  const wanted = given.trim().toLowerCase();
  if (wanted === '') return 'automatic';
  return SCHEDULES.find(({ name, label }) => name === wanted || label.toLowerCase() === wanted)?.name ?? null;
}

function nonEmpty(name: string | undefined): string | null {
  return name === undefined || name.trim() === '' ? null : name.trim();
}

function refused(field: string, message: string, value: unknown, limit: unknown): SamplerChoice {
  return { ok: false, problem: { field, message, value, limit } };
}
