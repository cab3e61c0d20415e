import { InvalidArgumentError } from 'commander';

/** Readers of option values; commander adds which option was meant. */

export function wholeNumber(min: number, max = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(
      `Allowed is a whole number ${max === Number.MAX_SAFE_INTEGER ? `from ${min} up` : `from ${min} to ${max}`}.`,
    );
  };
}

export function decimalNumber(text: string): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (Number.isFinite(value)) return value;
  throw new InvalidArgumentError('Allowed is a number, such as 7.5.');
}

/** Kept as digits: a number cannot hold all seeds. */
export function seed(text: string): string {
  if (/^\d{1,19}$/.test(text) && BigInt(text) < 2n ** 63n) return BigInt(text).toString();
  throw new InvalidArgumentError('Allowed is a whole number from 0 to 9223372036854775807.');
}

export function size(text: string): { width: number; height: number } {
  const [, width, height] = /^(\d{1,5})[xX×](\d{1,5})$/.exec(text) ?? [];
  if (width !== undefined && height !== undefined) return { width: Number(width), height: Number(height) };
  throw new InvalidArgumentError('Allowed is WIDTHxHEIGHT in pixels, such as 512x768.');
}

/** `ID[:WEIGHT]`, one more of them each time the option is given. */
export function loras(text: string, before: readonly LoraArgument[] = []): LoraArgument[] {
  const [, id, weight] = /^([^:]+)(?::([^:]+))?$/.exec(text) ?? [];
  if (id !== undefined && (weight === undefined || isNumber(weight)))
    return [...before, weight === undefined ? { id } : { id, weight: Number(weight) }];
  throw new InvalidArgumentError('Allowed is ID or ID:WEIGHT, such as paper-cut:0.8.');
}

export interface LoraArgument {
  readonly id: string;
  readonly weight?: number;
}

/** `ID:FILE[:SCALE]`, one more of them each time the option is given. A number after the last colon is the scale. */
export function controls(text: string, before: readonly ControlArgument[] = []): ControlArgument[] {
  const [, id, rest] = /^([^:]+):(.+)$/s.exec(text) ?? [];
  if (id === undefined || rest === undefined)
    throw new InvalidArgumentError('Allowed is ID:FILE or ID:FILE:SCALE, such as canny:edges.png:0.7.');
  const colon = rest.lastIndexOf(':');
  const scale = colon > 0 ? rest.slice(colon + 1) : '';
  return [...before, isNumber(scale) ? { id, file: rest.slice(0, colon), scale: Number(scale) } : { id, file: rest }];
}

export interface ControlArgument {
  readonly id: string;
  readonly file: string;
  readonly scale?: number;
}

function isNumber(text: string): boolean {
  return text.trim() !== '' && Number.isFinite(Number(text));
}

export function serverUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url !== null && (url.protocol === 'http:' || url.protocol === 'https:')) return url.href.replace(/\/+$/, '');
  throw new InvalidArgumentError('Allowed is an address such as http://127.0.0.1:8720.');
}
