/** Fields of the REST resource that are called otherwise here. All others have the same name. */
const RENAMED: Readonly<Record<string, string>> = {
  time_budget_ms: 'time_budget',
  'Idempotency-Key': 'idempotency_key',
  state: 'states',
  limit: 'page_size',
  cursor: 'page_token',
};

/** A field of a problem, such as `requests[0].time_budget_ms`, by the name it has in the messages. */
export function fieldName(field: string): string {
  const at = field.lastIndexOf('.') + 1;
  const name = field.slice(at);
  return field.slice(0, at) + (Object.hasOwn(RENAMED, name) ? RENAMED[name] : name);
}
