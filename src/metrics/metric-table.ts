/** Seconds of jobs and phases: from a tiny model's picture to a large one behind a long queue. */
const JOB_SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800];

/** Seconds of HTTP requests: from a health probe to an answer that was waited for. */
const HTTP_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60];

const GIBIBYTE = 2 ** 30;
const DEVICE_BYTES = [0.25, 0.5, 1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 80, 141].map((size) => size * GIBIBYTE);

interface MetricDeclaration {
  readonly type: 'counter' | 'gauge' | 'histogram';
  /** One sentence; what Prometheus and the reference page show. */
  readonly help: string;
  /** The values of each are bounded: words of the API, or names from the settings. */
  readonly labels: readonly string[];
  /** Of a histogram. */
  readonly buckets?: readonly number[];
}

const declared = <const T extends Readonly<Record<string, MetricDeclaration>>>(table: T) => table;

/**
 * Every metric of ours. Those of the queue are read from the database: nodes that share one tell the same, so take the
 * maximum; all others are a node's own, so take the sum. A counter counts what this node did since it started.
 */
export const METRICS = declared({
  safelight_build_info: {
    type: 'gauge',
    help: 'Always 1; what runs is in the labels.',
    labels: ['version', 'node_version', 'database', 'database_version'],
  },

  // The queue, as the database tells it.
  safelight_jobs: { type: 'gauge', help: 'Jobs in the store, by state.', labels: ['state'] },
  safelight_queue_jobs: {
    type: 'gauge',
    help: 'Jobs that wait: queued ones for a worker, scheduled ones for their time.',
    labels: ['state', 'priority'],
  },
  safelight_queue_oldest_seconds: {
    type: 'gauge',
    help: 'How long the oldest queued job waits since it was submitted; 0 when none does.',
    labels: ['priority'],
  },
  safelight_webhooks_pending: { type: 'gauge', help: 'Webhook messages that are still to be delivered.', labels: [] },

  // Jobs that became final here.
  safelight_jobs_finished_total: { type: 'counter', help: 'Jobs that became final.', labels: ['state'] },
  safelight_job_wait_seconds: {
    type: 'histogram',
    help: 'From submission to the first claim.',
    labels: ['priority'],
    buckets: JOB_SECONDS,
  },
  safelight_job_seconds: {
    type: 'histogram',
    help: 'From submission to success.',
    labels: ['model', 'priority'],
    buckets: JOB_SECONDS,
  },
  safelight_images_total: { type: 'counter', help: 'Pictures of jobs that succeeded.', labels: ['model'] },
  safelight_time_budgets_total: {
    type: 'counter',
    help: 'Final jobs that had a time budget, by whether they succeeded within it.',
    labels: ['within'],
  },

  // Their attempts.
  safelight_attempts_total: {
    type: 'counter',
    help: 'Attempts that ended, of jobs that are final.',
    labels: ['outcome', 'failure_kind'],
  },
  safelight_retries_total: {
    type: 'counter',
    help: 'Failed attempts that another attempt followed, of jobs that are final.',
    labels: ['failure_kind'],
  },
  safelight_resumes_total: {
    type: 'counter',
    help: 'Attempts that went on from a checkpoint, of jobs that are final.',
    labels: [],
  },
  safelight_steps_total: {
    type: 'counter',
    help: 'Denoising steps made, those made again included, of jobs that are final.',
    labels: ['model'],
  },
  safelight_phase_seconds: {
    type: 'histogram',
    help: 'Time an attempt was in a phase; attempts overlap.',
    labels: ['phase', 'model'],
    buckets: JOB_SECONDS,
  },
  safelight_attempt_peak_memory_bytes: {
    type: 'histogram',
    help: 'Most memory of the device that an attempt saw allocated.',
    labels: ['model'],
    buckets: DEVICE_BYTES,
  },
  safelight_degradations_total: {
    type: 'counter',
    help: 'Rungs of the degradation ladder that jobs took.',
    labels: ['rung', 'fidelity'],
  },
  safelight_checkpoints_total: {
    type: 'counter',
    help: 'Checkpoints of running attempts, by whether they could be kept.',
    labels: ['outcome'],
  },
  safelight_checkpoint_bytes_total: { type: 'counter', help: 'Bytes of the checkpoints that were kept.', labels: [] },

  // Workers and devices of this node.
  safelight_node_state: { type: 'gauge', help: '1 for the state the node is in, 0 for the others.', labels: ['state'] },
  safelight_workers: { type: 'gauge', help: 'Workers by state.', labels: ['state'] },
  safelight_worker_restarts_total: {
    type: 'counter',
    help: 'Times a worker process was started again.',
    labels: ['worker'],
  },
  safelight_attempts_in_flight: { type: 'gauge', help: 'Attempts a worker is at now.', labels: ['worker', 'device'] },
  safelight_model_loaded: { type: 'gauge', help: '1 for each model that is on a device.', labels: ['model', 'device'] },
  safelight_device_memory_bytes: {
    type: 'gauge',
    help: 'Memory of a device as its worker last told.',
    labels: ['device', 'kind'],
  },

  // What goes in and out.
  safelight_http_request_seconds: {
    type: 'histogram',
    help: 'HTTP requests from their headers to the end of the answer, waiting for a job and following one included. Requests that went away unanswered have the status 499.',
    labels: ['method', 'route', 'status'],
    buckets: HTTP_SECONDS,
  },
  safelight_http_requests_in_flight: { type: 'gauge', help: 'HTTP requests that are not answered whole.', labels: [] },
  safelight_webhook_tries_total: {
    type: 'counter',
    help: 'Tries to deliver a webhook message: delivered, failed (another try follows) or given_up.',
    labels: ['outcome'],
  },
  safelight_webhook_seconds: {
    type: 'histogram',
    help: 'Time a webhook receiver took over one message, or until it was not waited for any longer.',
    labels: [],
    buckets: HTTP_SECONDS,
  },
});

export type MetricName = keyof typeof METRICS;

export type MetricOf<T extends MetricDeclaration['type']> = {
  [N in MetricName]: (typeof METRICS)[N]['type'] extends T ? N : never;
}[MetricName];

export type LabelOf<N extends MetricName> = (typeof METRICS)[N]['labels'][number];
