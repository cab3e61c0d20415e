import { invalidFields } from './problem.js';

export const ON_DISCONNECT = 'Safelight-On-Disconnect';

/** Whether jobs go on when the client that waits for them hangs up: the header `Safelight-On-Disconnect`. */
export function goesOnWhenClientLeaves(header: string | undefined): boolean {
  if (header === undefined) return false;
  if (header.trim().toLowerCase() === 'continue') return true;
  throw invalidFields([{ field: ON_DISCONNECT, message: 'must be continue', value: header, limit: ['continue'] }]);
}
