// Asks an address at a fixed pace until its standard input ends, then writes what it saw as JSON. A process of its own, so that
// no other event loop's delay is in its times: `run.mjs live-probe-main.ts URL PACE_MS`.
import { Agent, get } from 'node:http';

import { rounded } from '../../support/statistics.js';
import type { ProbeResult } from './live-probe.js';

const [url = '', pace = ''] = process.argv.slice(2);
const everyMs = Number(pace);
/** A kubelet's patience; more is as good as no answer. */
const LIMIT_MS = 5000;

const agent = new Agent({ keepAlive: true });
const times: number[] = [];
const lateMs: number[] = [];
let failed = 0;
let open = 0;
let isOver = false;
let isTold = false;
const began = performance.now();

process.stdin.resume().on('end', () => {
  isOver = true;
  endWhenAnswered();
});
sendNext();

/** Due times are those of the pace, whatever happened to the probe before. */
function sendNext(): void {
  if (isOver) return;
  const due = began + (lateMs.length + 1) * everyMs;
  setTimeout(
    () => {
      if (isOver) return;
      lateMs.push(rounded(performance.now() - due, 2));
      probe();
      sendNext();
    },
    Math.max(0, due - performance.now()),
  );
}

function probe(): void {
  const sent = performance.now();
  open += 1;
  const done = (isAnswered: boolean) => {
    if (isAnswered) times.push(rounded(performance.now() - sent, 2));
    else failed += 1;
    open -= 1;
    endWhenAnswered();
  };
  const call = get(url, { agent, timeout: LIMIT_MS }, (response) => {
    response.resume().on('end', () => done(response.statusCode === 200));
    response.on('error', () => done(false));
  });
  call.on('timeout', () => call.destroy(new Error('not answered')));
  call.on('error', () => done(false));
}

function endWhenAnswered(): void {
  if (!isOver || isTold || open > 0) return;
  isTold = true;
  const result: ProbeResult = { times, lateMs, failed };
  process.stdout.write(JSON.stringify(result), () => process.exit(0));
}
