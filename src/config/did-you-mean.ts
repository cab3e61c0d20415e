/** Longest word looked at; a longer one is no typing error of ours. */
const MAX_CHARS = 64;

/** The known word closest to a mistyped one; null when none is close. */
export function didYouMean(word: string, known: readonly string[]): string | null {
  if (word.length > MAX_CHARS) return null;
  const given = normal(word);
  const part = known.find((candidate) => given.length >= 4 && normal(candidate).includes(given));
  if (part !== undefined) return part;
  // A far longer or shorter word is no slip of the fingers; leaving it out keeps hostile bodies cheap.
  const ranked = known
    .filter((candidate) => Math.abs(normal(candidate).length - given.length) <= tolerance(candidate))
    .map((candidate) => ({ candidate, distance: editDistance(given, normal(candidate)) }))
    .toSorted((a, b) => a.distance - b.distance);
  const best = ranked[0];
  return best !== undefined && best.distance <= tolerance(best.candidate) ? best.candidate : null;
}

function tolerance(word: string): number {
  return Math.max(1, Math.floor(word.length / 3));
}

/** `numInferenceSteps` and `num-inference-steps` are the word `num_inference_steps`, spelled by habit. */
function normal(word: string): string {
  return word.toLowerCase().replaceAll(/[^a-z0-9]/g, '');
}

/** Letters to add, drop, replace or swap with their neighbour. */
function editDistance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, index) => index)];
  const at = (row: number, column: number) => rows[row]?.[column] ?? Number.POSITIVE_INFINITY;
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    rows.push(current);
    for (let column = 1; column <= b.length; column++) {
      const replaced = at(row - 1, column - 1) + (a[row - 1] === b[column - 1] ? 0 : 1);
      const isSwap = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      const swapped = isSwap ? at(row - 2, column - 2) + 1 : Number.POSITIVE_INFINITY;
      current.push(Math.min(replaced, swapped, at(row - 1, column) + 1, at(row, column - 1) + 1));
    }
  }
  return at(a.length, b.length);
}
