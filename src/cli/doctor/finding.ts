/** What a check found. */
export interface Finding {
  readonly area: string;
  readonly status: 'ok' | 'warn' | 'fail';
  readonly message: string;
  /** What to do about it; null when there is nothing to mend. */
  readonly mend: string | null;
}

export const ok = (area: string, message: string): Finding => ({ area, status: 'ok', message, mend: null });
export const warn = (area: string, message: string, mend: string): Finding => ({ area, status: 'warn', message, mend });
export const fail = (area: string, message: string, mend: string): Finding => ({ area, status: 'fail', message, mend });
