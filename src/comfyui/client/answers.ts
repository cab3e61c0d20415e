import { z } from 'zod';

/** What ComfyUI answers, as far as it is used. Other fields are let through unread: versions differ in them. */

const Device = z.object({
  name: z.string(),
  type: z.string(),
  vram_total: z.number(),
  vram_free: z.number(),
  torch_vram_total: z.number(),
  torch_vram_free: z.number(),
});

/** `GET /system_stats`. Older versions do not tell theirs. */
export const SystemStats = z.object({
  system: z.object({
    comfyui_version: z.string().optional(),
    pytorch_version: z.string().optional(),
    python_version: z.string().optional(),
  }),
  devices: z.array(Device).default([]),
});
export type SystemStats = z.infer<typeof SystemStats>;

/** `POST /prompt`, accepted. Versions that do not take an id of ours give one. */
export const Submitted = z.object({ prompt_id: z.string() });

const NodeErrors = z.record(
  z.string(),
  z.object({
    class_type: z.string().default(''),
    errors: z.array(
      z.object({
        type: z.string().default(''),
        message: z.string().default(''),
        details: z.string().default(''),
        extra_info: z.object({ input_name: z.string().optional(), received_value: z.unknown() }).partial().default({}),
      }),
    ),
  }),
);

/** `POST /prompt`, refused. `node_errors` is an empty list where there are none. */
export const Refused = z.object({
  error: z.object({ type: z.string().default(''), message: z.string().default(''), details: z.string().default('') }),
  node_errors: NodeErrors.catch({}),
});
export type Refused = z.infer<typeof Refused>;

/** Rows are `[number, prompt id, …]`. */
const QueueRow = z.tuple([z.number(), z.string()]).rest(z.unknown());

/** `GET /queue`. */
export const Queue = z.object({ queue_running: z.array(QueueRow), queue_pending: z.array(QueueRow) });

export const ViewedImage = z.object({
  filename: z.string(),
  subfolder: z.string().default(''),
  type: z.string().default('output'),
});
export type ViewedImage = z.infer<typeof ViewedImage>;

/** An end as `execution_error` tells it, over the socket and in the history alike. */
export const ExecutionError = z.object({
  node_id: z.string().optional(),
  node_type: z.string().default('a node'),
  exception_message: z.string().default(''),
  exception_type: z.string().default(''),
  traceback: z.union([z.array(z.string()), z.string()]).default([]),
});
export type ExecutionError = z.infer<typeof ExecutionError>;

/** One entry of `GET /history/{id}`. */
export const HistoryEntry = z.object({
  outputs: z.record(z.string(), z.object({ images: z.array(ViewedImage).default([]) })).default({}),
  status: z
    .object({
      status_str: z.string(),
      completed: z.boolean(),
      messages: z.array(z.tuple([z.string(), z.unknown()])).default([]),
    })
    .nullable()
    .default(null),
});
export type HistoryEntry = z.infer<typeof HistoryEntry>;

export const History = z.record(z.string(), HistoryEntry);
