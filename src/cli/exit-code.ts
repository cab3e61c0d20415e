/** What the shell is told. Scripts rely on these. */
export const EXIT = {
  done: 0,
  /** The job, a check or the server failed. */
  failed: 1,
  /** Arguments, or a request the server does not accept. */
  usage: 2,
  /** EX_CONFIG of sysexits.h: starting again without a change of configuration cannot help. */
  config: 78,
  /** 128 + SIGINT. */
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];
