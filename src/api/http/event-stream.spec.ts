import { EventEmitter } from 'node:events';

import { jest } from '@jest/globals';
import type { Response } from 'express';

import { EventStream, HEARTBEAT_MS } from './event-stream.js';

/** A client that reads as much as the test says. */
class SlowResponse extends EventEmitter {
  readonly written: string[] = [];
  writableNeedDrain = false;
  ended = false;

  status = () => this;
  setHeader = () => this;
  flushHeaders = () => undefined;
  end = () => {
    this.ended = true;
  };

  write(text: string): boolean {
    this.written.push(text);
    return !this.writableNeedDrain;
  }
}

describe('EventStream', () => {
  let response: SlowResponse;
  let gone: AbortController;
  let stream: EventStream;
  beforeEach(() => {
    jest.useFakeTimers({ doNotFake: ['nextTick', 'queueMicrotask'] });
    response = new SlowResponse();
    gone = new AbortController();
    stream = new EventStream(response as unknown as Response, gone.signal);
  });
  afterEach(() => {
    stream.end();
    jest.useRealTimers();
  });

  it('writes an event in one piece', async () => {
    await stream.send({ id: 3, event: 'state', data: { text: 'two\nlines' } });
    expect(response.written).toEqual(['id: 3\nevent: state\ndata: {"text":"two\\nlines"}\n\n']);
  });

  it('says something every fifteen seconds', () => {
    jest.advanceTimersByTime(2 * HEARTBEAT_MS);
    expect(response.written).toEqual([': keep-alive\n\n', ': keep-alive\n\n']);
  });

  it('waits for a client that does not read, and does not pile up comments meanwhile', async () => {
    response.writableNeedDrain = true;
    let sent = false;
    const sending = stream.send({ event: 'state', data: {} }).then(() => (sent = true));
    jest.advanceTimersByTime(2 * HEARTBEAT_MS);
    await Promise.resolve();
    expect(sent).toBe(false);
    expect(response.written).toHaveLength(1);
    response.emit('drain');
    await sending;
  });

  it('gives up on a client that goes away instead of reading', async () => {
    response.writableNeedDrain = true;
    const sending = stream.send({ event: 'state', data: {} });
    gone.abort();
    await expect(sending).rejects.toThrow('aborted');
    await expect(stream.send({ event: 'state', data: {} })).rejects.toThrow('aborted');
  });

  it('is silent after its end', () => {
    stream.end();
    jest.advanceTimersByTime(2 * HEARTBEAT_MS);
    expect(response.ended).toBe(true);
    expect(response.written).toEqual([]);
  });
});
