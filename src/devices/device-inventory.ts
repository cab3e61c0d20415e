import { cpus } from 'node:os';

import { execa } from 'execa';

import type { Device } from '../domain/placement/device.js';
import { LOCAL_DEVICE_KINDS } from '../domain/placement/device.js';

/** Time nvidia-smi may take, in milliseconds: on a machine with many cards and no persistence daemon it needs seconds. */
const PROBE_TIMEOUT_MS = 15_000;

/**
 * The devices to run workers on: those named in the settings, else every NVIDIA card, else Apple's GPU, else the CPU.
 * No torch is imported for this; a device that is named but not there shows itself when its worker starts.
 */
export async function findDevices(wanted: 'auto' | readonly string[]): Promise<Device[]> {
  if (wanted !== 'auto') return wanted.map(deviceNamed);
  const cards = await nvidiaCards();
  if (cards.length > 0) return cards;
  if (process.platform === 'darwin' && process.arch === 'arm64')
    return [{ id: 'mps:0', kind: 'mps', name: 'Apple GPU' }];
  return [deviceNamed('cpu:0')];
}

function deviceNamed(id: string): Device {
  const kind = LOCAL_DEVICE_KINDS.find((known) => id.startsWith(`${known}:`));
  if (kind === undefined)
    throw new RangeError(`${id} names no device; expected one of ${LOCAL_DEVICE_KINDS.join(', ')} and a number`);
  return { id, kind, name: kind === 'cpu' ? (cpus()[0]?.model ?? 'CPU') : id };
}

async function nvidiaCards(): Promise<Device[]> {
  const probe = await execa('nvidia-smi', ['--query-gpu=index,name', '--format=csv,noheader'], {
    reject: false,
    timeout: PROBE_TIMEOUT_MS,
  });
  if (probe.failed) return [];
  return probe.stdout.split('\n').flatMap((line): Device[] => {
    const [index, name] = line.split(',', 2).map((cell) => cell.trim());
    return index && /^\d+$/.test(index) ? [{ id: `cuda:${index}`, kind: 'cuda', name: name ?? 'NVIDIA GPU' }] : [];
  });
}
