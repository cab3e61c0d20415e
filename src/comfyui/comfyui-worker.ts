import type { Logger } from 'pino';

import type { ComfyUiConfig } from '../config/comfyui.config.js';
import type { AttemptEvent, ReadyWorker } from '../dispatch/ports/worker-pool.port.js';
import { failure } from '../domain/failure/failure.js';
import type { ExecutionPlan } from '../domain/generation/execution-plan.js';
import type { ModelDescription } from '../domain/generation/model-description.js';
import type { Effective } from '../domain/job/job.js';
import type { Device } from '../domain/placement/device.js';
import type { WorkerDescription, WorkerMemory } from '../domain/placement/worker-description.js';
import type { WorkerState } from '../domain/placement/worker-state.js';
import { collectPictures, WrongPictureError } from './collect-pictures.js';
import { ComfyUiClient, ComfyUiUnreachableError } from './client/comfyui-client.js';
import { Health } from './health.js';
import { PromptRun } from './prompt-run.js';
import type { Workflow } from './workflows/workflow.js';
import { InexpressiblePlanError, workflowFor } from './workflows/workflow.js';

export const COMFYUI_DEVICE_ID = 'comfyui:0';

export interface ComfyUiWorkerOptions {
  /** Where it answers, without a slash at the end. */
  readonly url: string;
  readonly node: string;
  readonly config: ComfyUiConfig;
  readonly find: (model: string) => ModelDescription | null;
  readonly onChange: () => void;
  readonly log: Logger;
}

/**
 * A ComfyUI server as one more worker. It is no process of ours: there is nothing to start or to end, only to look whether it
 * answers. Attempts cannot leave its device and come back.
 */
export class ComfyUiWorker implements ReadyWorker {
  readonly id = 'comfyui-0';
  readonly qualifiedId: string;
  readonly warmModels: readonly string[] = [];
  /** What models take there is not told, and not ours to plan. */
  readonly budgetBytes = null;
  private readonly client: ComfyUiClient;
  private readonly health: Health;
  /** Milliseconds between preview frames, by attempt. */
  private readonly previews = new Map<string, number>();
  private leaving = new AbortController();
  private isDraining = false;
  private isStopped = false;

  constructor(private readonly options: ComfyUiWorkerOptions) {
    const { url, node, config, onChange, log } = options;
    this.qualifiedId = `${node}/${this.id}`;
    this.client = new ComfyUiClient(url, config.requestTimeoutMs);
    this.health = new Health({ client: this.client, intervalMs: config.healthIntervalMs, onChange, log });
  }

  get device(): Device {
    return { id: COMFYUI_DEVICE_ID, kind: 'remote', name: `ComfyUI at ${this.options.url}` };
  }

  get memory(): WorkerMemory | null {
    return this.health.memory;
  }

  /**
   * Whether it may be given attempts. One that has been out of reach for too long is among them, though `defunct`: what nobody
   * else could run either is told so by an attempt that fails.
   */
  get takesAttempts(): boolean {
    const { outOfReachMs } = this.health;
    const canTell = outOfReachMs !== null && outOfReachMs >= this.options.config.giveUpMs;
    return !this.isDraining && !this.isStopped && (this.health.isReachable || canTell);
  }

  describe(): WorkerDescription {
    const { id, device, memory, health } = this;
    const state = this.state();
    const running = this.previews.size;
    const reason = state === 'ready' || state === 'busy' ? null : this.reason(state);
    const { versions } = health;
    const facts = { pid: null, models: [], restarts: 0 };
    return { id, node: this.options.node, device, state, running, memory, reason, versions, ...facts };
  }

  start(): boolean {
    const wasStopped = this.isStopped;
    this.isStopped = this.isDraining = false;
    this.leaving = new AbortController();
    this.health.start();
    return wasStopped;
  }

  drain(): void {
    this.isDraining = true;
    this.options.onChange();
  }

  /** Attempts in flight are given back. Safe to call twice. */
  async stop(): Promise<void> {
    this.isDraining = true;
    this.leaving.abort();
    await this.health.stop();
    this.isStopped = true;
    this.options.onChange();
  }

  async *run(plan: ExecutionPlan, signal: AbortSignal): AsyncGenerator<AttemptEvent> {
    this.previews.set(plan.attemptId, plan.previewIntervalMs);
    if (this.previews.size === 1) this.options.onChange();
    const { leaving } = this;
    try {
      yield* this.attempt(plan, AbortSignal.any([signal, leaving.signal]), leaving.signal);
    } finally {
      this.previews.delete(plan.attemptId);
      if (this.previews.size === 0) this.options.onChange();
    }
  }

  /** What runs there cannot be taken off and put back. */
  suspend(): Promise<boolean> {
    return Promise.resolve(false);
  }

  setPreviews(attemptId: string, intervalMs: number): Promise<void> {
    if (this.previews.has(attemptId)) this.previews.set(attemptId, intervalMs);
    return Promise.resolve();
  }

  private async *attempt(plan: ExecutionPlan, stop: AbortSignal, leaving: AbortSignal): AsyncGenerator<AttemptEvent> {
    const workflow = this.workflow(plan);
    if ('type' in workflow) {
      yield workflow;
      return;
    }
    if (!this.health.isReachable && !(await this.health.look())) {
      yield { type: 'failed', failure: failure('model_unavailable', this.health.reason ?? 'ComfyUI does not answer') };
      return;
    }
    const { client } = this;
    const { config, log } = this.options;
    const run = new PromptRun({
      ...{ client, config, workflow, plan, stop },
      previewIntervalMs: () => this.previews.get(plan.attemptId) ?? 0,
      log: log.child({ attempt: plan.attemptId }),
    });
    const end = yield* run.play();
    if (end.type === 'stopped') {
      const given = failure('worker_stopping', 'the connection to ComfyUI is drained', { phase: run.progress.phase });
      yield leaving.aborted ? { type: 'failed', failure: given } : { type: 'cancelled' };
      return;
    }
    if (end.type === 'failed') {
      if (end.failure.kind === 'worker_lost') void this.health.look();
      yield end;
      return;
    }
    yield* run.progress.enter('save', Date.now());
    try {
      const artifacts = await collectPictures(client, plan, workflow, end.entry);
      const phases = run.progress.timingsAt(Date.now());
      yield { type: 'result', artifacts, phases, effective: this.effective(plan, workflow) };
    } catch (error) {
      const where = { phase: run.progress.phase, step: run.progress.step };
      if (error instanceof WrongPictureError)
        yield { type: 'failed', failure: failure('rejected_output', error.message, where) };
      else if (error instanceof ComfyUiUnreachableError)
        yield { type: 'failed', failure: failure('worker_lost', error.message, where) };
      else throw error;
    }
  }

  private workflow(plan: ExecutionPlan): Workflow | Extract<AttemptEvent, { type: 'failed' }> {
    const model = this.options.find(plan.model.id);
    const fail = (message: string, field?: string) =>
      ({
        type: 'failed',
        failure: failure('model_unavailable', message, field === undefined ? {} : { field }),
      }) as const;
    if (model === null || model.comfyui === null) return fail(`ComfyUI does not serve the model ${plan.model.id}`);
    try {
      return workflowFor(plan, { family: model.family, comfyui: model.comfyui });
    } catch (error) {
      if (error instanceof InexpressiblePlanError) return fail(error.message, error.field);
      throw error;
    }
  }

  private effective(plan: ExecutionPlan, { name, sampling }: Workflow): Effective {
    const files = this.options.find(plan.model.id)?.comfyui;
    return {
      num_inference_steps: plan.numInferenceSteps,
      guidance_scale: plan.guidanceScale,
      width: plan.width,
      height: plan.height,
      scheduler: plan.scheduler,
      scheduler_options: plan.schedulerOptions,
      device: COMFYUI_DEVICE_ID,
      runner: 'comfyui',
      workflow: name,
      sampler: sampling.sampler,
      schedule: sampling.schedule,
      files: {
        ...(files?.checkpoint && { checkpoint: files.checkpoint }),
        ...(files?.unet && { unet: files.unet, clip: files.clip, weight_dtype: files.weightDtype }),
        ...(files?.vae && { vae: files.vae }),
      },
      versions: this.health.versions ?? {},
    };
  }

  private state(): WorkerState {
    const running = this.previews.size;
    if (this.isStopped) return 'stopped';
    if (this.isDraining) return 'draining';
    if (!this.health.isReachable) return this.health.reason === null ? 'starting' : 'defunct';
    return running > 0 ? 'busy' : 'ready';
  }

  private reason(state: WorkerState): string {
    if (state === 'stopped' || state === 'draining') return 'it is drained';
    return this.health.reason ?? `${this.options.url} was not yet reached`;
  }
}
