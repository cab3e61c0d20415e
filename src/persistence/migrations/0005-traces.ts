import type { Migration } from './migration.js';

/** The request that submitted a job, so that what becomes of the job, on whatever node, is told as part of its trace. */
export const traces: Migration = {
  version: 5,
  name: 'traces',
  statements: [
    // A W3C traceparent; null: the job is not traced.
    'ALTER TABLE job ADD COLUMN trace text',
  ],
};
