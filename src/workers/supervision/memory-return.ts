import type { Device } from '../../domain/placement/device.js';

/** On a card a model smaller than this is not worth a restart, and what libraries take for themselves would hide it. */
const LEAST_BYTES = 64 * 2 ** 20;

/** How long memory may take to come back, in milliseconds. */
const RETURN_MS = 10_000;

/** What a look at a worker showed. */
export interface MemorySighting {
  /** Milliseconds of a clock that only goes forward. */
  readonly at: number;
  readonly models: readonly string[];
  readonly allocatedBytes: number;
  /** Nothing runs. */
  readonly isIdle: boolean;
}

/** Memory that did not come back. */
export interface UnreturnedMemory {
  /** The models that left. */
  readonly models: readonly string[];
  readonly weightsBytes: number;
  /** Allocated before they left. */
  readonly beforeBytes: number;
  /** Allocated when they should have been gone. */
  readonly afterBytes: number;
}

interface Departure {
  readonly left: readonly string[];
  readonly arrived: readonly string[];
  readonly weightsBytes: number;
  readonly beforeBytes: number;
  /** When the last of them came or went. */
  readonly since: number;
}

export interface MemoryReturnOptions {
  readonly device: Device;
  /** Bytes of a model's weights; null: unknown. */
  readonly weightsOf: (model: string) => number | null;
  /** Models with less are let go without a look. */
  readonly leastBytes: number;
  readonly returnMs?: number;
}

/**
 * Whether the memory of models that left came back. It did not when, with nothing running, less than half of their weights is
 * gone after a time, and more is allocated than the models that are there can hold. Both, because a model may have lain on the
 * device in part only, or in the system's page cache.
 */
export class MemoryReturn {
  private last: MemorySighting | null = null;
  /** The last one with nothing running. */
  private calm: MemorySighting | null = null;
  private departure: Departure | null = null;
  /** Allocated without any model; null: never seen. */
  private baseBytes: number | null;

  constructor(private readonly options: MemoryReturnOptions) {
    this.baseBytes = options.device.kind === 'cuda' ? 0 : null;
  }

  see(sighting: MemorySighting): UnreturnedMemory | null {
    this.noteChanges(sighting);
    this.last = sighting;
    if (!sighting.isIdle) return null;
    this.calm = sighting;
    if (this.departure === null) this.learnBase(sighting);
    return this.judge(sighting);
  }

  private noteChanges({ at, models }: MemorySighting): void {
    const { last, departure } = this;
    if (last === null) return;
    const left = last.models.filter((model) => !models.includes(model));
    const arrived = models.filter((model) => !last.models.includes(model));
    if (left.length + arrived.length === 0 || (departure === null && left.length === 0)) return;
    this.departure = {
      left: [...(departure?.left ?? []), ...left],
      arrived: [...(departure?.arrived ?? []), ...arrived],
      weightsBytes: (departure?.weightsBytes ?? 0) + this.weightsOfAll(left, 0),
      beforeBytes: departure?.beforeBytes ?? this.before(last),
      since: at,
    };
  }

  /** On the CPU it is the process itself, and grows with what it has done. */
  private learnBase({ models, allocatedBytes }: MemorySighting): void {
    if (this.options.device.kind !== 'cuda' && models.length === 0) this.baseBytes = allocatedBytes;
  }

  /** Without what ran beside the models, where that was seen. */
  private before({ models, allocatedBytes }: MemorySighting): number {
    const isSame = this.calm?.models.toSorted().join('\n') === models.toSorted().join('\n');
    return isSame && this.calm !== null ? this.calm.allocatedBytes : allocatedBytes;
  }

  private judge({ at, models, allocatedBytes }: MemorySighting): UnreturnedMemory | null {
    const { departure } = this;
    if (departure === null) return null;
    const { left, arrived, weightsBytes, beforeBytes, since } = departure;
    const half = weightsBytes / 2;
    const expected = beforeBytes + this.weightsOfAll(arrived, Number.POSITIVE_INFINITY);
    const held = (this.baseBytes ?? Number.POSITIVE_INFINITY) + this.weightsOfAll(models, Number.POSITIVE_INFINITY);
    const cameBack = expected - allocatedBytes >= half || allocatedBytes - held < half;
    if (!cameBack && at - since < (this.options.returnMs ?? RETURN_MS)) return null;
    this.departure = null;
    if (cameBack || weightsBytes < this.options.leastBytes) return null;
    return { models: left, weightsBytes, beforeBytes, afterBytes: allocatedBytes };
  }

  /** @param unknown what a model counts of which nothing is known */
  private weightsOfAll(models: readonly string[], unknown: number): number {
    return models.reduce((sum, model) => sum + (this.options.weightsOf(model) ?? unknown), 0);
  }
}

/**
 * Bytes of the smallest model whose memory is expected back; null: of none. The allocator of a card counts tensors. On the CPU
 * there is only the resident set, which an allocator need not give back and to which everything else in the process adds: there
 * the settings have to say from which size on that does not matter.
 *
 * @param setting null: the settings do not say
 */
export function leastBytesExpectedBack(setting: number | null, { kind }: Device): number | null {
  return setting ?? (kind === 'cuda' ? LEAST_BYTES : null);
}

export function unreturnedMessage({ models, weightsBytes, beforeBytes, afterBytes }: UnreturnedMemory): string {
  return `memory did not come back: ${mib(beforeBytes)} before ${models.join(', ')} (${mib(weightsBytes)}) left, ${mib(afterBytes)} after`;
}

function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(0)} MiB`;
}
