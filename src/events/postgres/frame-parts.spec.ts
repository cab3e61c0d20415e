import type { PreviewFrame } from '../../domain/job/job-event.js';
import { FrameAssembly, partsOf } from './frame-parts.js';
import type { FramePart } from './message.js';
import { messagesOf } from './message.js';
import { PAYLOAD_BYTES, packPayloads } from './pack-payloads.js';

const SENDER = '0199c1d2-7a3b-7c4d-8e5f-60718293a4b5';
const frame = (step: number, bytes = 65_536): PreviewFrame => ({
  jobId: 'a',
  step,
  mediaType: 'image/jpeg',
  data: Buffer.alloc(bytes, step),
});
const put = (assembly: FrameAssembly, parts: readonly FramePart[], sender = SENDER) =>
  parts.map((part) => assembly.add(sender, part)).filter((each) => each !== null);

describe('frames in parts', () => {
  it.each([0, 1, 4049, 4050, 4051, 65_536])('come back as they were: %d bytes', (bytes) => {
    expect(put(new FrameAssembly(), partsOf(frame(1, bytes), 1))).toEqual([frame(1, bytes)]);
  });

  it('fit into a payload each', () => {
    const { payloads, tooLarge } = packPayloads(
      SENDER,
      partsOf({ ...frame(1), jobId: SENDER }, 1_000_000).map((part) => JSON.stringify(part)),
    );
    expect(tooLarge).toBe(0);
    expect(payloads).toHaveLength(17);
    expect(Math.max(...payloads.map((each) => Buffer.byteLength(each)))).toBeLessThanOrEqual(PAYLOAD_BYTES);
    expect(messagesOf(payloads[16] ?? '')).toMatchObject({ sender: SENDER, unknown: 0, messages: [{ part: 16 }] });
  });

  it.each([0, 7, 16])('lose that frame only when part %d is lost', (lost) => {
    const parts = partsOf(frame(1), 1).toSpliced(lost, 1);
    expect(put(new FrameAssembly(), [...parts, ...partsOf(frame(2), 2)])).toEqual([frame(2)]);
  });

  it('are not mixed when a frame of a former owner of the job comes late', () => {
    const assembly = new FrameAssembly();
    const [first, ...rest] = partsOf(frame(1), 1);
    if (first === undefined) throw new Error('a frame has a part');
    assembly.add('node-a', first);
    expect(put(assembly, rest, 'node-b')).toEqual([]);
    expect(put(assembly, partsOf(frame(2), 1), 'node-b')).toEqual([frame(2)]);
  });

  it('are forgotten when nobody watches any more', () => {
    const assembly = new FrameAssembly();
    const parts = partsOf(frame(1), 1);
    put(assembly, parts.slice(0, -1));
    assembly.forget('a');
    expect(put(assembly, parts.slice(-1))).toEqual([]);
  });
});
