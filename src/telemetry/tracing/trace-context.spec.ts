import { formatTraceparent, jobSpanContext, newSpanContext, parseTraceparent } from './trace-context.js';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';

describe('a traceparent', () => {
  it.each([
    ['sampled', `00-${TRACE}-${SPAN}-01`, true],
    ['not sampled', `00-${TRACE}-${SPAN}-00`, false],
    ['with flags of later', `00-${TRACE}-${SPAN}-03`, true],
    ['of a later version', `cc-${TRACE}-${SPAN}-01-what-the-future-will-be-like`, true],
  ])('is read: %s', (_case, header, sampled) => {
    expect(parseTraceparent(header)).toEqual({ traceId: TRACE, spanId: SPAN, sampled });
  });

  it.each([
    ['none', undefined],
    ['empty', ''],
    ['of the version that is none', `ff-${TRACE}-${SPAN}-01`],
    ['longer than its version allows', `00-${TRACE}-${SPAN}-01-more`],
    ['without a trace', `00-${'0'.repeat(32)}-${SPAN}-01`],
    ['without a span', `00-${TRACE}-${'0'.repeat(16)}-01`],
    ['in capitals', `00-${TRACE.toUpperCase()}-${SPAN}-01`],
    ['another thing', 'hello'],
  ])('is passed over: %s', (_case, header) => {
    expect(parseTraceparent(header)).toBeNull();
  });

  it('is written as it is read', () => {
    const header = `00-${TRACE}-${SPAN}-01`;
    expect(formatTraceparent(parseTraceparent(header)!)).toBe(header);
  });
});

describe('a span', () => {
  const parent = { traceId: TRACE, spanId: SPAN, sampled: true };

  it('below another is in its trace, sampled like it whatever the ratio', () => {
    const child = newSpanContext(parent, 0);
    expect(child).toMatchObject({ traceId: TRACE, sampled: true });
    expect(child.spanId).toMatch(/^[\da-f]{16}$/);
    expect(child.spanId).not.toBe(SPAN);
    expect(newSpanContext({ ...parent, sampled: false }, 1).sampled).toBe(false);
  });

  it('that begins a trace is sampled by the ratio', () => {
    const sampledOf = (ratio: number) =>
      Array.from({ length: 400 }, () => newSpanContext(null, ratio)).filter(({ sampled }) => sampled).length;
    expect(sampledOf(0)).toBe(0);
    expect(sampledOf(1)).toBe(400);
    // Six standard deviations: once in a thousand million runs.
    expect(Math.abs(sampledOf(0.25) - 100)).toBeLessThan(52);
  });

  it('of a job is the same for every node, and there is none for a job that is not traced', () => {
    const row = formatTraceparent(parent);
    expect(jobSpanContext('one', row)).toEqual(jobSpanContext('one', row));
    expect(jobSpanContext('one', row)).toMatchObject({ traceId: TRACE, sampled: true });
    expect(jobSpanContext('one', row)?.spanId).not.toBe(jobSpanContext('two', row)?.spanId);
    expect(jobSpanContext('one', null)).toBeNull();
    expect(jobSpanContext('one', formatTraceparent({ ...parent, sampled: false }))).toBeNull();
  });
});
