import type { Failure } from '../domain/failure/failure.js';
import { failure } from '../domain/failure/failure.js';
import type { FailureKind } from '../domain/failure/failure-kind.js';
import type { Phase } from '../domain/job/phase.js';
import type { ExecutionError, Refused } from './client/answers.js';

/** How far an attempt had come. */
export interface Whereabouts {
  readonly phase: Phase | null;
  readonly step: number;
}

/** Longest sentence taken over from there: a tip of ComfyUI's own follows the first line. */
const MAX_MESSAGE_CHARS = 500;

/** torch says `torch.OutOfMemoryError`, older ones `torch.cuda.OutOfMemoryError`; drivers of other makers say it in words. */
const OUT_OF_MEMORY = /OutOfMemory|out of memory|Allocation on device/i;
const BROKEN_DEVICE = /AcceleratorError|CUDA error|HIP error|device-side assert/i;
const MISSING_FILE = /FileNotFound|SafetensorError|UnpicklingError|Could not detect model type|HeaderTooLarge/i;

/** A node threw. */
export function executionFailure(error: ExecutionError, where: Whereabouts): Failure {
  const { node_type: node, exception_message: text, exception_type: type, traceback } = error;
  const detail = [type, ...(Array.isArray(traceback) ? traceback : [traceback])].join('\n').trim();
  const facts = { ...where, ...(detail !== '' && { detail }) };
  return failure(kindOf(type, text, where.phase), `ComfyUI, ${node}: ${firstLine(text) || type}`, facts);
}

function kindOf(type: string, text: string, phase: Phase | null): FailureKind {
  if (OUT_OF_MEMORY.test(type) || OUT_OF_MEMORY.test(firstLine(text))) return 'device_out_of_memory';
  if (BROKEN_DEVICE.test(type) || BROKEN_DEVICE.test(text)) return 'device_fatal';
  if (phase === 'load' || MISSING_FILE.test(type) || MISSING_FILE.test(text)) return 'model_unavailable';
  return 'internal';
}

/** It would not run the graph: a file or a node is missing there, which another server may have. */
export function refusalFailure({ error, node_errors: nodes }: Refused): Failure {
  const faults = Object.values(nodes).flatMap(({ class_type: node, errors }) =>
    errors.map(({ message, details }) => `${node}: ${message}${details === '' ? '' : ` (${details})`}`),
  );
  const said = faults.length > 0 ? faults.join('; ') : [error.message, error.details].filter(Boolean).join(': ');
  return failure('model_unavailable', `ComfyUI refused the workflow: ${said.slice(0, MAX_MESSAGE_CHARS)}`);
}

function firstLine(text: string): string {
  return (text.trim().split('\n')[0] ?? '').slice(0, MAX_MESSAGE_CHARS);
}
