/** Done when this process is told to end early, too: what it mounted and started would outlive it. */
export function atExit(act: () => void): () => void {
  todo.add(act);
  return () => todo.delete(act);
}

const todo = new Set<() => void>();

process.on('exit', () => {
  for (const act of [...todo].toReversed()) act();
});

/** Ctrl-C and SIGTERM end a process past its exit listeners unless somebody listens. */
export function endOnSignals(): void {
  process.once('SIGINT', () => process.exit(130));
  process.once('SIGTERM', () => process.exit(143));
}
