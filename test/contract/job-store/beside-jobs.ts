import { NOON } from '../../support/jobs.js';
import type { StoreHarness } from './harness.js';
import { MINUTE, SECOND } from './harness.js';

const HOOK = 'https://example.org/hooks';

/** What is kept beside jobs: messages to webhooks, nodes, footprints. */
export function describeBesideJobs(harness: StoreHarness): void {
  const { submitOne, claim, complete, end, giveBack } = harness;
  const deliveries = () => harness.stores.deliveries;

  describe('messages to webhooks', () => {
    const due = async (now = NOON) => (await deliveries().takeDue(now, MINUTE, 10)).map(({ jobId }) => jobId);

    it('owes one for each way to become final', async () => {
      const owed: string[] = [];
      const withHook = async () => {
        const { id } = await submitOne({ request: { webhook: HOOK } });
        owed.push(id);
        return id;
      };
      await withHook();
      await complete((await claim()).claim);
      await withHook();
      await end((await claim()).claim, 'failed');
      await harness.store.requestCancel(await withHook(), NOON);
      const late = await submitOne({ request: { webhook: HOOK, finish_by: NOON + SECOND } });
      owed.push(late.id);
      await harness.store.expireDue(NOON + SECOND);

      expect((await due(NOON + MINUTE)).toSorted()).toEqual(owed.toSorted());
    });

    it('owes none before the job is final, and none to who named no webhook', async () => {
      const { id } = await submitOne({ request: { webhook: HOOK } });
      await giveBack((await claim()).claim);
      const without = await submitOne();
      await harness.store.requestCancel(without.id, NOON);

      expect(await due()).toEqual([]);
      expect(await deliveries().of(id)).toBeNull();
      expect(await deliveries().of(without.id)).toBeNull();
      expect(await deliveries().nextDueAt()).toBeNull();
    });

    async function owedMessage(): Promise<string> {
      const { id } = await submitOne({ request: { webhook: HOOK } });
      await harness.store.requestCancel(id, NOON);
      return id;
    }

    it('gives a message to one taker at a time, and again when that one never tells', async () => {
      const id = await owedMessage();
      const takers = await Promise.all([due(), due(), due()]);

      expect(takers.flat()).toEqual([id]);
      expect(await due(NOON + MINUTE - 1)).toEqual([]);
      expect(await due(NOON + MINUTE)).toEqual([id]);
    });

    it('is done with one that was delivered', async () => {
      const id = await owedMessage();
      const [taken] = await deliveries().takeDue(NOON, MINUTE, 10);
      expect(await deliveries().countPending()).toBe(1);
      await deliveries().markDelivered(id, 204);

      expect(await deliveries().countPending()).toBe(0);
      expect(taken).toEqual({ jobId: id, url: HOOK, messageId: `msg_${id}`, tries: 0, createdAt: NOON });
      expect(await deliveries().of(id)).toMatchObject({ state: 'delivered', tries: 1, nextAt: null, lastStatus: 204 });
      expect(await due(NOON + 60 * MINUTE)).toEqual([]);
    });

    it('takes one that failed again at its time, until it is given up', async () => {
      const id = await owedMessage();
      await due();
      await deliveries().markFailed(id, 'answered 500', 500, NOON + 5 * MINUTE);
      expect(await deliveries().nextDueAt()).toBe(NOON + 5 * MINUTE);
      expect(await due(NOON + 4 * MINUTE)).toEqual([]);
      expect(await due(NOON + 5 * MINUTE)).toEqual([id]);
      await deliveries().markFailed(id, 'answered 500', 500, null);

      const report = await deliveries().of(id);
      expect(report).toMatchObject({ state: 'given_up', tries: 2, lastError: 'answered 500', nextAt: null });
    });

    it('goes with its job', async () => {
      const id = await owedMessage();
      await harness.store.purge(NOON + MINUTE, 10);
      expect(await deliveries().of(id)).toBeNull();
    });
  });

  describe('nodes', () => {
    const nodes = () => harness.stores.nodes;
    const enter = (id: string, name: string, leaseMs = 60 * MINUTE) =>
      nodes().register({ id, name, url: `http://${name}:8720` }, leaseMs, NOON);

    it('lists those that are there, by name', async () => {
      expect(await enter('2', 'b')).toBeNull();
      expect(await enter('1', 'a')).toBeNull();
      await nodes().renew('1', { state: 'draining', workers: [] }, 60 * MINUTE, NOON + SECOND);

      expect(await nodes().list(NOON)).toEqual([
        {
          id: '1',
          name: 'a',
          url: 'http://a:8720',
          state: 'draining',
          workers: [],
          startedAt: NOON,
          seenAt: NOON + SECOND,
        },
        { id: '2', name: 'b', url: 'http://b:8720', state: 'serving', workers: [], startedAt: NOON, seenAt: NOON },
      ]);
    });

    it('says whose place a node takes, and that one finds out at its heartbeat', async () => {
      await enter('1', 'a');
      expect(await enter('2', 'a')).toBe('1');

      const report = { state: 'serving' as const, workers: [] };
      expect(await nodes().renew('1', report, MINUTE, NOON)).toBe(false);
      expect(await nodes().renew('2', report, 60 * MINUTE, NOON)).toBe(true);
      expect((await nodes().list(NOON)).map(({ id }) => id)).toEqual(['2']);
    });

    it('tells each of those that register one name at the same moment whose place it takes', async () => {
      for (let round = 0; round < 5; round++) {
        const name = `round ${round}`;
        const ids = Array.from({ length: 6 }, (_, n) => `${name}, ${n}`);
        const former = await Promise.all(ids.map((id) => enter(id, name)));
        const last = (await nodes().list(NOON)).find((node) => node.name === name);

        // Each but the last was followed by one other, which has its jobs to take back.
        expect(former.filter((id) => id === null)).toHaveLength(1);
        expect(new Set([...former, last?.id])).toEqual(new Set([null, ...ids]));
      }
    });

    it('forgets one that was silent for a day when another comes, and not before', async () => {
      await enter('1', 'long gone', -25 * 60 * MINUTE);
      await enter('2', 'silent', -23 * 60 * MINUTE);
      await enter('3', 'new');

      expect(await enter('4', 'long gone')).toBeNull();
      expect(await enter('5', 'silent')).toBe('2');
    });

    it('does not list one that was not heard of in time, nor one that has stopped', async () => {
      await enter('1', 'silent', -MINUTE);
      await enter('2', 'stopped');
      await nodes().forget('2');

      expect(await nodes().list(NOON)).toEqual([]);
    });
  });

  it('keeps one footprint for a model on a kind of device, the last', async () => {
    const { footprints } = harness.stores;
    const footprint = {
      model: 'shapes',
      deviceKind: 'cpu' as const,
      dtype: 'float32',
      weightsBytes: 5,
      components: { unet: 5 },
      phases: [],
      overruns: [],
    };
    await footprints.save(footprint, NOON);
    await footprints.save({ ...footprint, deviceKind: 'cuda' }, NOON);
    await footprints.save({ ...footprint, weightsBytes: 7 }, NOON + 1);

    expect(await footprints.all()).toEqual([
      { ...footprint, weightsBytes: 7 },
      { ...footprint, deviceKind: 'cuda' },
    ]);
  });
}
