import type { Device } from '../../domain/placement/device.js';
import type { MemorySighting, UnreturnedMemory } from './memory-return.js';
import { leastBytesExpectedBack, MemoryReturn } from './memory-return.js';

/** What models take of a device, known over all lives of its worker, and whether it came back in the present one. */
export class ModelMemory {
  private readonly weights = new Map<string, number>();
  private readonly leastBytes: number | null;
  private memoryReturn: MemoryReturn | null = null;

  /** @param minBytes of the settings; null: they do not say */
  constructor(
    private readonly device: Device,
    minBytes: number | null,
  ) {
    this.leastBytes = leastBytesExpectedBack(minBytes, device);
  }

  /** A new process has nothing of the one before. */
  beginLife(): void {
    const { device, leastBytes } = this;
    const weightsOf = (model: string) => this.weights.get(model) ?? null;
    this.memoryReturn = leastBytes === null ? null : new MemoryReturn({ device, weightsOf, leastBytes });
  }

  learnWeights(model: string, bytes: number): void {
    this.weights.set(model, bytes);
  }

  see(sighting: MemorySighting): UnreturnedMemory | null {
    return this.memoryReturn?.see(sighting) ?? null;
  }
}
