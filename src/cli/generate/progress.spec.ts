import { describe, expect, it } from '@jest/globals';

import type { ProgressJson } from '../client/wire.js';
import type { Terminal } from '../terminal.js';
import { LiveProgress, PlainProgress } from './progress-display.js';
import type { ProgressView } from './progress-view.js';
import { renderLine } from './progress-view.js';

const running = (progress: Partial<ProgressJson>, attempt = 1): ProgressView => ({
  stage: 'running',
  attempt,
  progress: { phase: 'denoise', step: 5, steps: 20, fraction: 0.25, eta_ms: 3200, ...progress },
});
const waiting = (facts: Partial<Extract<ProgressView, { stage: 'waiting' }>>): ProgressView => ({
  stage: 'waiting',
  position: null,
  waitingFor: 'capacity',
  worker: null,
  ...facts,
});

describe('the line on a terminal', () => {
  it.each<[ProgressView, string]>([
    [running({}), 'denoising           ██████░░░░░░░░░░░░░░░░░░   25 %  step 5/20  3.2 s left'],
    [running({ fraction: 1.2, eta_ms: null }), 'denoising           ████████████████████████  100 %  step 5/20'],
    [
      running({ phase: 'decode', fraction: 0.9 }, 2),
      'decoding (attempt 2)  ██████████████████████░░   90 %  3.2 s left',
    ],
    [waiting({ worker: 'starting the worker: importing torch' }), 'starting the worker: importing torch … 4.2 s'],
    [waiting({ position: 3 }), 'queued, number 3 in line … 4.2 s'],
    [waiting({ position: 1 }), 'queued … 4.2 s'],
    [waiting({ waitingFor: 'backoff' }), 'waiting before the next attempt … 4.2 s'],
    [{ stage: 'starting_server' }, 'starting a server in this process … 4.2 s'],
    [{ stage: 'cancelling' }, 'cancelling … 4.2 s'],
  ])('of %j', (view, line) => {
    expect(renderLine(view, 4200, { columns: 120, unicode: true })).toBe(line);
  });

  it('keeps to plain characters and to the width where it must', () => {
    const line = renderLine(running({}), 0, { columns: 30, unicode: false });
    expect(line).toBe('denoising           ######--…');
  });

  it('is drawn over, counts from when something else began, and is gone at the end', () => {
    let drawn = '';
    let now = 0;
    const terminal = {
      columns: () => 80,
      unicode: true,
      draw: (bytes: string) => (drawn = bytes),
    } as unknown as Terminal;
    const display = new LiveProgress(terminal, () => now);
    display.show(waiting({}));
    now = 2000;
    display.show(waiting({}));
    expect(drawn).toBe('\r\u001B[2Kqueued … 2.0 s');
    display.show({ stage: 'saving' });
    expect(drawn).toBe('\r\u001B[2Kdownloading the picture … 0.0 s');
    display.close();
    display.close();
    expect(drawn).toBe('\r\u001B[2K');
  });
});

it('prints a line only when something else happens or a quarter is done', () => {
  const lines: string[] = [];
  const display = new PlainProgress({ err: (text) => lines.push(text) });
  const views = [waiting({ position: 2 }), waiting({ position: 2 }), waiting({}), running({ phase: 'load', step: 0 })];
  for (const view of views) display.show(view);
  for (let step = 0; step <= 20; step += 1) display.show(running({ step }));
  display.show(running({ phase: 'decode' }));
  expect(lines).toEqual([
    'queued, number 2 in line',
    'queued',
    'loading the model',
    'denoising',
    'denoising: 25 %',
    'denoising: 50 %',
    'denoising: 75 %',
    'denoising: 100 %',
    'decoding',
  ]);
});
