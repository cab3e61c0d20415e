import { z } from 'zod';

import { invalidFields } from '../http/problem.js';
import { readFields } from '../http/read-fields.js';

/** Fifteen digits fit a double; no job has so many events. */
const eventId = z.string().transform((value, context) => {
  if (/^\d{1,15}$/.test(value)) return Number(value);
  const params = { limit: { min: 0 } };
  context.addIssue({ code: 'custom', message: 'must be the id of an event of this job', params });
  return z.NEVER;
});

const QUERY = { last_event_id: eventId.optional(), previews: z.enum(['true', 'false']).optional() };
const HEADERS = { 'Last-Event-ID': eventId.optional() };

/**
 * From where to follow a job and whether with previews. The header wins: a reconnecting EventSource sends it along with the
 * address it began with.
 */
export function eventsQuery(
  query: Readonly<Record<string, unknown>>,
  lastEventId: string | undefined,
): { afterSeq: number; previews: boolean } {
  const read = readFields(QUERY, query);
  // An EventSource that has seen no id yet sends an empty one.
  const header = readFields(HEADERS, lastEventId ? { 'Last-Event-ID': lastEventId } : {});
  const problems = [...read.problems, ...header.problems];
  if (problems.length > 0) throw invalidFields(problems);
  const afterSeq = header.fields['Last-Event-ID'] ?? read.fields.last_event_id ?? 0;
  return { afterSeq, previews: read.fields.previews === 'true' };
}
