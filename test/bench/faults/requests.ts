import type { Dice } from '../support/dice.js';

/** A body of `POST /v1/jobs` without what does not shape the picture. */
export interface PictureRequest {
  readonly prompt: string;
  readonly seed: number;
  readonly num_inference_steps: number;
  readonly num_images: number;
  readonly exact: boolean;
  readonly width: number;
  readonly height: number;
  readonly max_degradation: 'equivalent';
}

const COLOURS = ['red', 'blue', 'green'];
const SHAPES = ['circle', 'square'];
const STEPS = [4, 6, 8];
const COUNT = 24;

/** The distinct requests of every storm: all differ, one in three is `exact`, one in eight wants two pictures. */
export const PICTURE_REQUESTS: readonly PictureRequest[] = Array.from({ length: COUNT }, (_, index) => ({
  prompt: `a ${COLOURS[index % COLOURS.length]} ${SHAPES[index % SHAPES.length]} on white`,
  seed: 100 + index,
  num_inference_steps: STEPS[(index >> 1) % STEPS.length]!,
  num_images: index % 8 === 7 ? 2 : 1,
  exact: index % 3 === 0,
  width: 64,
  height: 64,
  // A smaller picture under want of memory would be another picture.
  max_degradation: 'equivalent',
}));

/** One in twenty is urgent, so that pre-emption takes part. */
export function drawPriority(dice: Dice): string {
  const drawn = dice.next();
  if (drawn < 0.05) return 'urgent';
  if (drawn < 0.2) return 'high';
  return drawn < 0.8 ? 'normal' : 'low';
}
