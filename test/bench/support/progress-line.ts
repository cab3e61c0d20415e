/** One line that is written over where there is a terminal, and now and then a line of its own where there is none. */
export function progressLine(): { readonly tell: (line: string) => void; readonly end: () => void } {
  const { stderr } = process;
  const every = stderr.isTTY ? 0 : 15_000;
  let toldAt = 0;
  return {
    tell(line) {
      if (Date.now() - toldAt < every) return;
      toldAt = Date.now();
      stderr.write(stderr.isTTY ? `\r\u001B[K${line.slice(0, (stderr.columns ?? 80) - 1)}` : `${line}\n`);
    },
    end: () => stderr.write(stderr.isTTY ? '\r\u001B[K' : ''),
  };
}
