/** The value below which this share of the list lies; 0 for an empty one. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

export const median = (values: readonly number[]) => quantile(values, 0.5);

/** To so many decimals, for reports. */
export function rounded(value: number, decimals: number): number {
  return Number(value.toFixed(decimals));
}
