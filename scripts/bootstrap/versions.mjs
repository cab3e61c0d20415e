// Reading and comparing version numbers.

/**
 * The leading numbers of a version: '2.13.0+cpu' → [2, 13, 0]; undefined when there are none.
 * @param {string} text
 * @returns {number[] | undefined}
 */
export function parseVersion(text) {
  const match = /(\d+(?:\.\d+)*)/.exec(text);
  return match?.[1]?.split('.').map(Number);
}

/**
 * @param {number[]} left
 * @param {number[]} right
 * @returns {number} below, equal to or above zero, as for sort()
 */
export function compareVersions(left, right) {
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/**
 * Is `from <= version < below`?
 * @param {string} version
 * @param {string} from
 * @param {string} [below]
 */
export function isWithin(version, from, below) {
  const parsed = parseVersion(version);
  if (!parsed) return false;
  if (compareVersions(parsed, parseVersion(from) ?? []) < 0) return false;
  return below === undefined || compareVersions(parsed, parseVersion(below) ?? []) < 0;
}
