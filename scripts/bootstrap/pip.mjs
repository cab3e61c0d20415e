// Talking to pip: requirement files in, one line of progress out.
import { readFileSync } from 'node:fs';
import { formatSize } from './progress.mjs';

/**
 * The pinned names of a requirements file (with options, comments and markers left out).
 * @param {string} text
 * @returns {{ name: string, version: string }[]}
 */
export function readRequirements(text) {
  return text.split('\n').flatMap((line) => {
    const match = /^([A-Za-z0-9._-]+)==([^\s;#]+)/.exec(line.trim());
    return match?.[1] && match[2] ? [{ name: match[1], version: match[2] }] : [];
  });
}

/** @param {string[]} files */
export const requirementNames = (files) => [
  ...new Set(files.flatMap((file) => readRequirements(readFileSync(file, 'utf8')).map(({ name }) => name))),
];

const UNITS = new Map([
  ['kB', 1e3],
  ['MB', 1e6],
  ['GB', 1e9],
]);

/**
 * Turns pip's output into what it is doing now, with the sum of what it downloads.
 * @returns {(line: string) => string | undefined} undefined for a line that says nothing new
 */
export function followPip() {
  let bytes = 0;
  const total = () => (bytes > 0 ? `, ${formatSize(bytes)} so far` : '');
  return (line) => {
    const download = /^\s*Downloading (\S+?)(?:\.metadata)? \((?:[\d.]+\/)?([\d.]+) ?(kB|MB|GB)\)/.exec(line);
    if (download?.[1] && download[2] && download[3]) {
      bytes += Number(download[2]) * (UNITS.get(download[3]) ?? 0);
      return `${packageName(download[1])} ${download[2]} ${download[3]}${total()}`;
    }
    const collecting = /^\s*(?:Collecting|Processing) (\S+)/.exec(line);
    if (collecting?.[1]) return `${packageName(collecting[1])}${total()}`;
    const installing = /^Installing collected packages: (.*)/.exec(line);
    if (installing?.[1]) return `unpacking ${installing[1].split(',').length} packages${total()}`;
    return undefined;
  };
}

/**
 * 'numpy-2.4.6-cp311-….whl', '/some/where/torch-2.13.0.whl' or 'numpy==2.4.6' → 'numpy'.
 * @param {string} text
 */
const packageName = (text) => (text.split('/').pop() ?? text).replace(/(?:[=<>!~;[(]|-\d).*$/, '');
