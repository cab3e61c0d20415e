// Which build of torch? The same version comes as a build of 0.2 GB for the CPU and as one of several
// GB for CUDA, and what an index offers by default differs. Decided here, without side effects.
import { parseVersion } from './versions.mjs';

/** The PyTorch project's public index of CPU builds; asked only where no NVIDIA driver is found. */
export const CPU_INDEX = 'https://download.pytorch.org/whl/cpu';

/**
 * @typedef {object} Offer what an index would install for torch
 * @property {string[]} cudaPackages names of packages that only a CUDA build needs
 * @property {number | undefined} bytes size of the whole download; undefined where unknown
 *
 * @typedef {object} TorchSituation
 * @property {boolean} hasNvidia an NVIDIA driver is there
 * @property {string | undefined} indexUrl SAFELIGHT_TORCH_INDEX_URL
 * @property {Offer | undefined} standard what pip's own configuration offers; undefined when it offers nothing
 * @property {boolean | undefined} cpuIndexAnswers undefined: not asked yet
 * @property {boolean | undefined} consent to a large download; undefined: not asked yet
 *
 * @typedef {{ kind: 'install', indexUrl?: string, what: string }
 *   | { kind: 'ask-cpu-index' }
 *   | { kind: 'ask-consent', bytes: number | undefined }
 *   | { kind: 'refuse', bytes: number | undefined }
 *   | { kind: 'nothing-offered' }} TorchDecision
 */

/**
 * @param {TorchSituation} situation
 * @returns {TorchDecision}
 */
export function chooseTorch({ hasNvidia, indexUrl, standard, cpuIndexAnswers, consent }) {
  if (indexUrl) return { kind: 'install', indexUrl, what: 'from SAFELIGHT_TORCH_INDEX_URL' };
  if (hasNvidia && standard) return { kind: 'install', what: 'for the NVIDIA driver found' };
  if (standard && standard.cudaPackages.length === 0) return { kind: 'install', what: 'CPU build' };
  if (!hasNvidia && cpuIndexAnswers === undefined) return { kind: 'ask-cpu-index' };
  if (cpuIndexAnswers) return { kind: 'install', indexUrl: CPU_INDEX, what: 'CPU build' };
  if (!standard) return { kind: 'nothing-offered' };
  if (consent === undefined) return { kind: 'ask-consent', bytes: standard.bytes };
  return consent ? { kind: 'install', what: 'CUDA build, by consent' } : { kind: 'refuse', bytes: standard.bytes };
}

/**
 * @param {{ install?: { metadata?: { name?: string }, download_info?: { url?: string } }[] }} report of `pip install --dry-run --report -`
 * @returns {{ cudaPackages: string[], addresses: string[] }}
 */
export function readPipReport(report) {
  const install = report.install ?? [];
  const names = install.map((item) => (item.metadata?.name ?? '').toLowerCase());
  return {
    cudaPackages: names.filter((name) => /^(nvidia|cuda)[-_]/.test(name)),
    addresses: install.flatMap((item) => item.download_info?.url ?? []),
  };
}

/**
 * Does the torch in our own environment satisfy the pin? '2.13.0+cpu' does for '2.13.0'.
 * @param {string} installed
 * @param {string} pinned
 */
export const isSameRelease = (installed, pinned) =>
  parseVersion(installed)?.join('.') === parseVersion(pinned)?.join('.');
