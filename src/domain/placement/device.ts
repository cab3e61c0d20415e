export const DEVICE_KINDS = ['cpu', 'cuda', 'mps'] as const;
export type DeviceKind = (typeof DEVICE_KINDS)[number];

/** One accelerator, or the CPU. */
export interface Device {
  /** Stable on this machine: `cpu:0`, `cuda:1`, `mps:0`. */
  readonly id: string;
  readonly kind: DeviceKind;
  readonly name: string;
}
