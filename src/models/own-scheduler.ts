import type { SchedulerOptions } from '../domain/generation/generation-request.js';
import { NOISE_SCHEDULERS, schedulersFor } from '../domain/generation/noise-scheduler.js';
import type { PipelineFamily } from '../domain/generation/pipeline-family.js';
import { FAMILY_PROFILES } from '../domain/generation/pipeline-family.js';

/** Not to be named in a request, but others can stand in for them. */
const EXCHANGEABLE_TOO = ['LMSDiscreteScheduler', 'DPMSolverSDEScheduler'];

interface ModelSchedulers {
  /** Noise schedulers a request may name. */
  readonly schedulers: readonly string[];
  readonly defaults: { readonly scheduler: string; readonly scheduler_options: SchedulerOptions };
}

/**
 * What a model can be run with, by its `scheduler_config.json`; null: there is none. Where its own was made for one pipeline,
 * or follows a flow, no other can stand in, and it stays as it is.
 */
export function schedulersOf(
  family: PipelineFamily,
  config: Readonly<Record<string, unknown>> | null,
): ModelSchedulers {
  const { flowMatching, defaults } = FAMILY_PROFILES[family];
  const ofFamily = {
    schedulers: schedulersFor(flowMatching),
    defaults: { scheduler: defaults.scheduler, scheduler_options: defaults.scheduler_options },
  };
  const own = config?.['_class_name'];
  if (typeof own !== 'string') return family === 'other' ? keeping('') : ofFamily;
  const followsFlow = own.startsWith('FlowMatch') || config?.['use_flow_sigmas'] === true;
  const isNameable = Object.hasOwn(NOISE_SCHEDULERS, own);
  const isExchangeable = !followsFlow && !flowMatching && (isNameable || EXCHANGEABLE_TOO.includes(own));
  return isExchangeable ? ofFamily : keeping(isNameable ? own : '');
}

function keeping(scheduler: string): ModelSchedulers {
  return { schedulers: scheduler === '' ? [] : [scheduler], defaults: { scheduler, scheduler_options: {} } };
}
