/** Kinds that workers run on. */
export const LOCAL_DEVICE_KINDS = ['cpu', 'cuda', 'mps'] as const;
/** `remote`: whatever another server draws on. */
export const DEVICE_KINDS = [...LOCAL_DEVICE_KINDS, 'remote'] as const;
export type DeviceKind = (typeof DEVICE_KINDS)[number];

/** One accelerator, the CPU, or a server that stands for its own. */
export interface Device {
  /** Stable on this machine: `cpu:0`, `cuda:1`, `mps:0`, `comfyui:0`. */
  readonly id: string;
  readonly kind: DeviceKind;
  readonly name: string;
}
