import type { FieldProblem } from './generation-input.js';

/** Gathers what is wrong with a request, so that a person mends it in one go. */
export class ProblemList {
  readonly all: FieldProblem[] = [];

  add(field: string, message: string, value: unknown, limit: unknown): void {
    this.all.push({ field, message, value, limit });
  }

  /** Returns the value, noting a problem when it lies outside; NaN does. */
  range(field: string, value: number, min: number, max: number): number {
    if (!(value >= min && value <= max)) this.add(field, `must be from ${min} to ${max}`, value, { min, max });
    return value;
  }

  /** As {@link range}, without the lower bound itself. */
  rangeAbove(field: string, value: number, above: number, max: number): number {
    if (!(value > above && value <= max))
      this.add(field, `must be above ${above} and at most ${max}`, value, { above, max });
    return value;
  }
}
