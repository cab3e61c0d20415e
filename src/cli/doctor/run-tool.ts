import { execa } from 'execa';

/** A tool that hangs, hangs the doctor: cold disks and many GPUs need seconds, not minutes. */
const TOOL_TIMEOUT_MS = 20_000;

export type ToolOutcome =
  { readonly ok: true; readonly stdout: string } | { readonly ok: false; readonly reason: string };

/** Runs a program that answers and ends. */
export async function runTool(program: string, args: readonly string[]): Promise<ToolOutcome> {
  const result = await execa(program, args, { reject: false, timeout: TOOL_TIMEOUT_MS, stdin: 'ignore' });
  if (!result.failed) return { ok: true, stdout: result.stdout };
  if (result.timedOut) return { ok: false, reason: `no answer within ${TOOL_TIMEOUT_MS / 1000} s` };
  if (result.code === 'ENOENT') return { ok: false, reason: 'there is no such program' };
  if (result.code !== undefined) return { ok: false, reason: `it does not start (${result.code})` };
  return { ok: false, reason: result.stderr.trim().split('\n').at(-1) ?? `exit code ${result.exitCode}` };
}
