import type { ModelDescription } from '../generation/model-description.js';
import type { ModelFootprint } from './footprint.js';
import type { Reservation } from './reservation.js';

/** A model that might join the attempts on a device. */
export interface Newcomer {
  readonly model: Pick<ModelDescription, 'id'>;
  /** Null: nothing is known of it. */
  readonly footprint: ModelFootprint | null;
  /** Null: nothing is known of the device. */
  readonly budgetBytes: number | null;
  /** What the attempts there have taken. */
  readonly reservations: readonly Reservation[];
}

/**
 * Whether a model has room beside the attempts on a device, and for pictures of how many pixels at most (null: any). The
 * weights of all models in use count once each, and the largest forward, since the engine runs one at a time. A device
 * without attempts has room for anything: the ladder does the rest. So has one whose attempts all are of this model: it is
 * running there.
 */
export function roomFor({ model, footprint, budgetBytes, reservations }: Newcomer): {
  readonly fits: boolean;
  readonly maxPixels: number | null;
} {
  const others = reservations.filter((reservation) => reservation.model !== model.id);
  if (footprint === null || budgetBytes === null || others.length === 0) return { fits: true, maxPixels: null };
  const weights = new Map(others.map((reservation) => [reservation.model, reservation.weightsBytes]));
  weights.set(model.id, footprint.weightsBytes);
  const room = budgetBytes - [...weights.values()].reduce((sum, bytes) => sum + bytes, 0);
  const largest = Math.max(...reservations.map(({ peakBytes }) => peakBytes));
  const pixels = footprint.phases.map(({ phase, fixedBytes, bytesPerPixel }) => {
    const perPixel = bytesPerPixel * (phase === 'denoise' ? 2 : 1);
    if (room < fixedBytes) return -1;
    return perPixel === 0 ? Number.MAX_SAFE_INTEGER : Math.floor((room - fixedBytes) / perPixel);
  });
  const maxPixels = Math.min(Number.MAX_SAFE_INTEGER, ...pixels);
  return room >= largest && maxPixels >= 0
    ? { fits: true, maxPixels: maxPixels === Number.MAX_SAFE_INTEGER ? null : maxPixels }
    : { fits: false, maxPixels: 0 };
}
