import type { Dice } from '../support/dice.js';
import type { Arrivals } from './arrivals.js';
import { arrivalTimes } from './arrivals.js';
import type { MixEntry, PictureKind } from './mix.js';

/** What shapes a picture: two requests of one drawing get the same one. */
export interface Drawing extends Omit<PictureKind, 'priority'> {
  readonly prompt: string;
  readonly seed: number;
}

/** A request that is going to be sent. */
export interface PlannedRequest {
  /** Milliseconds after the start. */
  readonly dueMs: number;
  readonly entry: MixEntry;
  readonly drawing: Drawing;
  /** Tells drawings apart. */
  readonly key: string;
}

export interface PlanTerms {
  readonly arrivals: Arrivals;
  readonly requests: number;
  readonly mix: readonly MixEntry[];
  /** Distinct drawings of each entry. */
  readonly variants: number;
}

const SIZES = ['small', 'large'];
const COLOURS = ['red', 'blue', 'green', 'yellow'];
const SHAPES = ['circle', 'star', 'square'];
const FIRST_SEED = 1000;

/** Every request of an experiment, decided before the first is sent: the same dice give the same plan. */
export function planRequests({ arrivals, requests, mix, variants }: PlanTerms, dice: Dice): readonly PlannedRequest[] {
  const choosing = dice.for('mix');
  return arrivalTimes(arrivals, requests, dice.for('arrivals')).map((dueMs) => {
    const entry = drawEntry(mix, choosing);
    const drawing = drawingOf(entry, choosing.below(variants));
    return { dueMs, entry, drawing, key: keyOf(drawing) };
  });
}

/** The distinct drawings of a plan by their keys, in the order in which they are first asked for. */
export function distinctDrawings(plan: readonly PlannedRequest[]): ReadonlyMap<string, Drawing> {
  return new Map(plan.map(({ key, drawing }) => [key, drawing]));
}

function drawEntry(mix: readonly MixEntry[], dice: Dice): MixEntry {
  const total = mix.reduce((sum, { weight }) => sum + weight, 0);
  let left = dice.next() * total;
  return mix.find(({ weight }) => (left -= weight) < 0) ?? mix.at(-1)!;
}

function drawingOf({ width, height, steps, images, exact }: MixEntry, variant: number): Drawing {
  const size = SIZES[variant % SIZES.length]!;
  const colour = COLOURS[variant % COLOURS.length]!;
  const shape = SHAPES[variant % SHAPES.length]!;
  // Image i of a request has seed + i: a variant's pictures are not those of the next one.
  const seed = FIRST_SEED + variant * 100;
  return { prompt: `a ${size} ${colour} ${shape} on a white background`, seed, width, height, steps, images, exact };
}

function keyOf({ prompt, seed, width, height, steps, images, exact }: Drawing): string {
  return [prompt, seed, `${width}x${height}`, steps, images, exact].join('|');
}
