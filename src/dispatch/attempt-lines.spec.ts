import { pino } from 'pino';

import type { DispatchingNode } from '../../test/support/dispatch.js';
import { DONE, leaveCheckpoint, startNode } from '../../test/support/dispatch.js';
import type { Script } from '../../test/support/scripted-worker.js';
import { ScriptedPool, ScriptedWorker } from '../../test/support/scripted-worker.js';
import { LogConfig } from '../config/log.config.js';
import { failure } from '../domain/failure/failure.js';
import { HIDDEN_PROMPT } from '../telemetry/hide-prompts.js';
import type { Occurrence } from '../telemetry/occurrences.js';

const PROMPT = 'a fox in the snow';

type Line = Readonly<Record<string, unknown>>;

describe('the log of an attempt', () => {
  let node: DispatchingNode;
  let lines: Line[];
  afterEach(() => node.close());

  async function startWith(script: Script, logConfig = new LogConfig()): Promise<void> {
    lines = [];
    const log = pino(
      { level: 'debug', base: null },
      { write: (line: string) => void lines.push(JSON.parse(line) as Line) },
    );
    const pool = new ScriptedPool([new ScriptedWorker('cpu-0', script)]);
    node = await startNode({ pool, log, logConfig });
  }

  /** Fails once with a message that quotes the prompt, then succeeds. */
  function quotesOnce(): Script {
    let tries = 0;
    return async function* (plan) {
      await Promise.resolve();
      tries += 1;
      const detail = `Traceback:\n  tokenizer("${PROMPT}")`;
      if (tries > 1) yield { ...DONE, effective: { prompt: plan.prompt, steps: 20 } };
      else yield { type: 'failed', failure: failure('internal', `cannot read '${PROMPT}'`, { detail }) };
    };
  }

  it('names job, attempt and worker in each line, and hides prompts that failures and results quote', async () => {
    await startWith(quotesOnce());
    const id = await node.submit({ prompt: PROMPT });
    const job = await node.final(id);

    expect(job.state).toBe('succeeded');
    expect(lines.map(({ msg, attempt }) => [msg, attempt])).toEqual([
      ['attempt failed', 1],
      ['attempt succeeded', 2],
    ]);
    for (const line of lines) expect(line).toMatchObject({ job: id, worker: 'cpu-0' });
    expect(lines[0]).toMatchObject({ failure: { message: `cannot read '${HIDDEN_PROMPT}'` } });
    expect(lines[1]).toMatchObject({ effective: { prompt: HIDDEN_PROMPT, steps: 20 } });
    expect(JSON.stringify(lines)).not.toContain('fox');
    // What the owner of the job reads is whole.
    expect(job.attempts[0]?.failure?.message).toBe(`cannot read '${PROMPT}'`);
  });

  it('shows them where the settings say so', async () => {
    await startWith(quotesOnce(), new LogConfig({ prompts: 'shown' }));
    await node.final(await node.submit({ prompt: PROMPT }));
    expect(lines[0]).toMatchObject({ failure: { message: `cannot read '${PROMPT}'` } });
    expect(lines[1]).toMatchObject({ effective: { prompt: PROMPT } });
  });

  it('has checkpoints counted, whether they could be kept or not', async () => {
    await startWith(async function* (plan, _signal) {
      yield { type: 'accepted' };
      const [id] = plan.attemptId.split('/');
      const told = new Promise<void>((resolve) => node.occurrences.on(() => resolve()));
      yield { type: 'checkpoint', checkpoint: await leaveCheckpoint(plan.stagingDir, 3) };
      await node.once(id!, ({ checkpoint }) => checkpoint?.step === 3);
      await told;
      const lost = new Promise<void>((resolve) => node.occurrences.on(() => resolve()));
      yield { type: 'checkpoint', checkpoint: { fileName: 'never-written', step: 4, bytes: 9 } };
      await lost;
      yield DONE;
    });
    const noted: Occurrence[] = [];
    node.occurrences.on((occurrence) => noted.push(occurrence));
    const id = await node.submit();
    await node.final(id);
    expect(noted).toEqual([
      { type: 'checkpoint', outcome: 'kept', bytes: 'the state at step 3'.length },
      { type: 'checkpoint', outcome: 'lost', bytes: 9 },
    ]);
    expect(lines.find(({ msg }) => msg === 'the checkpoint could not be kept')).toMatchObject({ job: id, attempt: 1 });
  });
});
