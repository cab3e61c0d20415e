import type { Phase } from '../job/phase.js';
import type { RungName } from '../degradation/degradation.js';
import type { DeviceKind } from './device.js';

/** Peak memory of a phase over the weights it needs: `fixedBytes + bytesPerPixel · rows · width · height`. */
export interface PhaseFootprint {
  readonly phase: Phase;
  readonly fixedBytes: number;
  readonly bytesPerPixel: number;
  /** False: from a formula, because the device was not measured. */
  readonly measured: boolean;
}

/** A size that did not fit although the prediction said it would. */
export interface KnownOverrun {
  /** Rungs the attempt stood on, in the ladder's order. */
  readonly rungs: readonly RungName[];
  /** Width times height of its pictures. */
  readonly pixels: number;
  /** What the device had in all; on a larger one it says nothing. */
  readonly budgetBytes: number;
  readonly phase: Phase;
  /** How often, without one of the kind that fitted in between. */
  readonly times: number;
  /** The last time, in epoch milliseconds. */
  readonly at: number;
}

/** An attempt of a size that did not fit, or did, on a device. */
export type Outcome = Pick<KnownOverrun, 'rungs' | 'pixels' | 'budgetBytes'>;

/** What a model takes on a kind of device. The first one is an estimate; the worker's measurements replace it. */
export interface ModelFootprint {
  readonly model: string;
  readonly deviceKind: DeviceKind;
  readonly dtype: string;
  readonly weightsBytes: number;
  /** Over all weight files, lower-case hex; absent while unknown. */
  readonly weightsSha256?: string;
  /** Weights by component, such as `unet`; empty while unknown. */
  readonly components: Readonly<Record<string, number>>;
  readonly phases: readonly PhaseFootprint[];
  readonly overruns: readonly KnownOverrun[];
}

/** Overruns that are kept of a model: enough for its sizes and rungs, and bounded. */
const MAX_OVERRUNS = 32;

/** The footprint after an attempt that ran out of memory in a phase. */
export function learnOverrun(
  footprint: ModelFootprint,
  overrun: Outcome & Pick<KnownOverrun, 'phase'>,
  at: number,
): ModelFootprint {
  const isSame = (known: KnownOverrun) =>
    known.phase === overrun.phase && covers(known, overrun) && covers(overrun, known);
  const before = footprint.overruns.find(isSame)?.times ?? 0;
  const others = footprint.overruns.filter((known) => !isSame(known));
  return { ...footprint, overruns: [{ ...overrun, times: before + 1, at }, ...others].slice(0, MAX_OVERRUNS) };
}

/**
 * The footprint after an attempt that fitted: what did not fit under easier terms was not the size's fault. Returns the same
 * one when nothing speaks against what is known.
 */
export function learnFit(footprint: ModelFootprint, fit: Outcome): ModelFootprint {
  const left = footprint.overruns.filter((known) => !covers(known, fit));
  return left.length === footprint.overruns.length ? footprint : { ...footprint, overruns: left };
}

/** Whether whoever did not fit in the one case would not have in the other: no smaller, no more room, no rung more. */
function covers(one: Outcome, other: Outcome): boolean {
  return (
    other.pixels >= one.pixels &&
    other.budgetBytes <= one.budgetBytes &&
    other.rungs.every((rung) => one.rungs.includes(rung))
  );
}
