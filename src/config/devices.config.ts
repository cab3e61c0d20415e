import { configArea } from './config-area.js';
import type { Kind } from './kinds.js';
import { accept, refuse } from './kinds.js';
import { given } from './setting.js';

const ALLOWED = 'auto, or a list of different devices such as [cpu:0] or [cuda:0, cuda:1]';
const DEVICE = /^(cpu|cuda|mps):\d{1,3}$/;

const deviceList: Kind<'auto' | readonly string[]> = {
  allowed: ALLOWED,
  read: (value) => {
    if (value === 'auto') return accept(value);
    const fits =
      Array.isArray(value) && value.length > 0 && new Set(value).size === value.length && value.every(isDevice);
    return fits ? accept(value) : refuse(value, ALLOWED);
  },
  fromText: (text) => (text.trim() === 'auto' ? 'auto' : text.split(',').map((id) => id.trim())),
};

function isDevice(value: unknown): value is string {
  return typeof value === 'string' && DEVICE.test(value);
}

export class DevicesConfig extends configArea({
  section: 'devices',
  title: 'Devices',
  about: 'What computes.',
  fields: {
    ids: given(
      deviceList,
      'auto',
      'Devices that get a worker each. `auto` takes every NVIDIA GPU, else an Apple GPU, else the CPU, which counts as one device.',
    ),
  },
}) {}
