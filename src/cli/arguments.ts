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

export function serverUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url !== null && (url.protocol === 'http:' || url.protocol === 'https:')) return url.href.replace(/\/+$/, '');
  throw new InvalidArgumentError('Allowed is an address such as http://127.0.0.1:8720.');
}
