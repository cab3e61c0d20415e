import type { Device } from '../../domain/placement/device.js';

/** What a worker may know of our environment: an allow-list, so that secrets of the server do not reach it. */
const PASSED_ON =
  /^(PATH|HOME|USER|LANG|LC_.*|TZ|TMPDIR|LD_LIBRARY_PATH|DYLD_.*|SSL_CERT_.*|HF_HOME|HF_HUB_CACHE|HUGGINGFACE_HUB_CACHE|XDG_CACHE_HOME|NVIDIA_.*|CUDA_(?!VISIBLE_DEVICES).*|OMP_.*|MKL_.*|KMP_.*|SAFELIGHT_FAULT_.*)$/;

/** Environment of a worker for a device. */
export function workerEnvironment(device: Device, ours: NodeJS.ProcessEnv): Record<string, string> {
  const passed = Object.entries(ours).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && PASSED_ON.test(entry[0]),
  );
  const [kind, index] = device.id.split(':');
  return {
    ...Object.fromEntries(passed),
    // Both names: older torch reads only the second. Segments that grow suit batch sizes that change at every tick.
    PYTORCH_ALLOC_CONF: 'expandable_segments:True',
    PYTORCH_CUDA_ALLOC_CONF: 'expandable_segments:True',
    // Loading never reaches out: what is served was named in the settings.
    HF_HUB_OFFLINE: '1',
    TOKENIZERS_PARALLELISM: 'false',
    PYTHONUNBUFFERED: '1',
    ...(kind === 'cuda' && index !== undefined ? { CUDA_VISIBLE_DEVICES: index } : {}),
  };
}

/** The device under the name it has inside the worker, which sees one card only. */
export function deviceInsideWorker(device: Device): string {
  return device.kind === 'cuda' ? 'cuda:0' : device.id;
}
