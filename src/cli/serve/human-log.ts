import type { Logger } from 'pino';
import { pino } from 'pino';

import { shorten } from '../table.js';

/** More of a field than this is for the JSON log. */
const LONGEST_FACT = 100;

/** A log for eyes: one short line a record, written where a person watches. Machines get JSON lines instead. */
export function humanLog(level: string, write: (line: string) => void): Logger {
  const stream = { write: (record: string) => write(humanLine(record)) };
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, stream);
}

/** `12:00:01 warn  worker is started again  worker=cpu-0 restarts=1`. */
export function humanLine(record: string): string {
  const { level, time, msg, ...fields } = JSON.parse(record) as { level: number; time: string; msg?: string };
  const word = (pino.levels.labels[level] ?? String(level)).padEnd(5);
  const facts = Object.entries(fields).map(([name, value]) => `${name}=${shorten(factText(value), LONGEST_FACT)}`);
  return [`${new Date(time).toTimeString().slice(0, 8)} ${word} ${msg ?? ''}`, ...facts].join('  ').trimEnd();
}

/** An error is its message here: its stack is in the JSON log, for who looks for the cause. */
function factText(value: unknown): string {
  if (typeof value === 'string') return value;
  const message: unknown = typeof value === 'object' && value !== null ? Reflect.get(value, 'message') : undefined;
  return typeof message === 'string' ? message : JSON.stringify(value);
}
