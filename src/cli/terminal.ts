/** Where a command speaks to: stdout takes the result, stderr everything about it. */
export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** One line, or several, on stdout. */
  out(text: string): void;
  /** One line, or several, on stderr. */
  err(text: string): void;
  /** Raw bytes to stderr, for lines that are drawn over. */
  draw(bytes: string): void;
  /** Columns of stderr; null when it is no terminal, so that nothing can be drawn over. */
  columns(): number | null;
  /** Whether block characters can be shown. */
  readonly unicode: boolean;
}

export function processTerminal(): Terminal {
  const { env, stdout, stderr } = process;
  for (const stream of [stdout, stderr]) {
    // Who reads has gone (`safelight serve | head -1`): that ends the talk, not the work.
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
    });
  }
  return {
    env,
    cwd: process.cwd(),
    out: (text) => void stdout.write(`${text}\n`),
    err: (text) => void stderr.write(`${text}\n`),
    draw: (bytes) => void stderr.write(bytes),
    columns: () => (stderr.isTTY && env['TERM'] !== 'dumb' ? stderr.columns || 80 : null),
    unicode: /utf-?8/i.test(env['LC_ALL'] || env['LC_CTYPE'] || env['LANG'] || ''),
  };
}
