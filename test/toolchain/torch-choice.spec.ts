import { describe, expect, it } from '@jest/globals';
import { chooseTorch, CPU_INDEX, isSameRelease, readPipReport } from '../../scripts/bootstrap/torch-choice.mjs';

const cpuBuild = { cudaPackages: [], bytes: 192_000_000 };
const cudaBuild = { cudaPackages: ['nvidia-cublas', 'cuda-toolkit'], bytes: 3_100_000_000 };
const nothingKnown = {
  hasNvidia: false,
  indexUrl: undefined,
  standard: cudaBuild,
  cpuIndexAnswers: undefined,
  consent: undefined,
};

describe('chooseTorch', () => {
  it.each([
    ['takes the standard offer when it is a CPU build', { standard: cpuBuild }, { kind: 'install', what: 'CPU build' }],
    [
      'takes the CUDA build where there is a driver for it',
      { hasNvidia: true },
      { kind: 'install', what: 'for the NVIDIA driver found' },
    ],
    ['asks the CPU index when the standard offer is a CUDA build', {}, { kind: 'ask-cpu-index' }],
    ['asks the CPU index when there is no standard offer', { standard: undefined }, { kind: 'ask-cpu-index' }],
    [
      'takes the CPU index when it answers',
      { cpuIndexAnswers: true },
      { kind: 'install', indexUrl: CPU_INDEX, what: 'CPU build' },
    ],
    [
      'asks for consent, with the size, when only CUDA can be had',
      { cpuIndexAnswers: false },
      { kind: 'ask-consent', bytes: 3_100_000_000 },
    ],
    [
      'installs CUDA once that is agreed to',
      { cpuIndexAnswers: false, consent: true },
      { kind: 'install', what: 'CUDA build, by consent' },
    ],
    ['refuses when it is not', { cpuIndexAnswers: false, consent: false }, { kind: 'refuse', bytes: 3_100_000_000 }],
    [
      'says so when nothing is offered anywhere',
      { standard: undefined, cpuIndexAnswers: false },
      { kind: 'nothing-offered' },
    ],
    [
      'puts the index of the user before everything',
      { hasNvidia: true, indexUrl: 'https://index.example/cu130', standard: undefined },
      { kind: 'install', indexUrl: 'https://index.example/cu130', what: 'from SAFELIGHT_TORCH_INDEX_URL' },
    ],
  ])('%s', (_, situation, decision) => {
    expect(chooseTorch({ ...nothingKnown, ...situation })).toEqual(decision);
  });

  it('looks for a CPU build first even when a large download is allowed', () => {
    expect(chooseTorch({ ...nothingKnown, consent: true })).toEqual({ kind: 'ask-cpu-index' });
  });

  it('does not ask the CPU index for a machine with a driver', () => {
    expect(chooseTorch({ ...nothingKnown, hasNvidia: true, standard: undefined })).toEqual({ kind: 'nothing-offered' });
  });
});

describe('readPipReport', () => {
  it('finds the packages that only CUDA needs', () => {
    const report = {
      install: [
        { metadata: { name: 'torch' }, download_info: { url: 'file:///torch.whl' } },
        { metadata: { name: 'nvidia-cublas' }, download_info: { url: 'file:///cublas.whl' } },
        { metadata: { name: 'CUDA_Bindings' } },
        { metadata: { name: 'sympy' }, download_info: { url: 'file:///sympy.whl' } },
      ],
    };
    expect(readPipReport(report)).toEqual({
      cudaPackages: ['nvidia-cublas', 'cuda_bindings'],
      addresses: ['file:///torch.whl', 'file:///cublas.whl', 'file:///sympy.whl'],
    });
  });

  it('takes an empty report for no offer of CUDA', () => {
    expect(readPipReport({})).toEqual({ cudaPackages: [], addresses: [] });
  });
});

describe('isSameRelease', () => {
  it.each([
    ['2.13.0+cpu', '2.13.0', true],
    ['2.13.0+cu130', '2.13.0', true],
    ['2.13.1', '2.13.0', false],
    ['2.12.0', '2.13.0', false],
  ])('%s for a pin on %s: %s', (installed, pinned, same) => {
    expect(isSameRelease(installed, pinned)).toBe(same);
  });
});
