import type { Override } from '../../config/settings.js';

export interface TransferOptions {
  readonly config?: string;
  readonly dataDir?: string;
}

export function overridesOf({ dataDir }: TransferOptions): Override[] {
  return dataDir === undefined ? [] : [{ setting: 'data_dir', option: '--data-dir', text: dataDir }];
}
