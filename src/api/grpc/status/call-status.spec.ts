import { status } from '@grpc/grpc-js';

import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';

import { StoreUnavailableError } from '../../../jobs/ports/job-store.port.js';
import { failure } from '../../../domain/failure/failure.js';
import { Problem } from '../../http/problem.js';
import { problemOf, statusOfJob, statusOfProblem } from './call-status.js';

/** The fields of a message by number, each as often as it is there. */
function fieldsOf(bytes: Uint8Array): Record<number, (number | Uint8Array)[]> {
  const reader = new BinaryReader(bytes);
  const fields: Record<number, (number | Uint8Array)[]> = {};
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    (fields[number] ??= []).push(wireType === WireType.Varint ? Number(reader.int64()) : reader.bytes());
  }
  return fields;
}

const text = (bytes: unknown) => Buffer.from(bytes as Uint8Array).toString();

/** `google.rpc.Status`, its details by the names of their types. */
function statusDetails(bytes: unknown) {
  const { 1: code, 2: message, 3: details = [] } = fieldsOf(bytes as Uint8Array);
  const any = details.map((detail) => fieldsOf(detail as Uint8Array));
  const byType = Object.fromEntries(
    any.map(({ 1: type, 2: value }) => [text(type?.[0]), fieldsOf(value?.[0] as Uint8Array)]),
  );
  return { code: code?.[0], message: text(message?.[0]), byType };
}

const pairs = (message: Record<number, (number | Uint8Array)[]> | undefined) =>
  (message?.[1] ?? []).map((pair) => {
    const { 1: name, 2: description } = fieldsOf(pair as Uint8Array);
    return [text(name?.[0]), text(description?.[0])];
  });

describe('The status of a call that is refused', () => {
  it('tells fields at fault as google.rpc.BadRequest', () => {
    const errors = [
      { field: 'width', message: 'must be a multiple of 8', value: 65, limit: { multiple_of: 8 } },
      { field: 'requests[3].time_budget_ms', message: 'must be a whole number', value: 0.5, limit: null },
    ];
    const { code, details, metadata } = statusOfProblem(
      new Problem('invalid_request', 'cannot be accepted', { errors }),
    );
    expect(code).toBe(status.INVALID_ARGUMENT);
    expect(details).toBe(
      'cannot be accepted; width must be a multiple of 8 (limit: {"multiple_of":8}); requests[3].time_budget must be a whole number',
    );
    const told = statusDetails(metadata.get('grpc-status-details-bin')[0]);
    expect(told).toMatchObject({ code: 3, message: details });
    expect(pairs(told.byType['type.googleapis.com/google.rpc.BadRequest'])).toEqual([
      ['width', 'must be a multiple of 8 (limit: {"multiple_of":8})'],
      ['requests[3].time_budget', 'must be a whole number'],
    ]);
    const info = told.byType['type.googleapis.com/google.rpc.ErrorInfo'];
    expect([text(info?.[1]?.[0]), text(info?.[2]?.[0])]).toEqual(['invalid_request', 'safelight']);
    expect(told.byType['type.googleapis.com/google.rpc.RetryInfo']).toBeUndefined();
  });

  it('tells a limit that is used up as google.rpc.QuotaFailure, with the time to come back', () => {
    const errors = [{ field: 'queue', message: 'is full', value: 3, limit: { max_waiting: 3 } }];
    const problem = new Problem('queue_full', '3 jobs wait', { errors, headers: { 'Retry-After': '300' } });
    const { code, metadata } = statusOfProblem(problem);
    expect(code).toBe(status.RESOURCE_EXHAUSTED);
    expect(metadata.get('retry-after')).toEqual(['300']);
    const { byType } = statusDetails(metadata.get('grpc-status-details-bin')[0]);
    expect(pairs(byType['type.googleapis.com/google.rpc.QuotaFailure'])).toEqual([
      ['queue', 'is full (limit: {"max_waiting":3})'],
    ]);
    const [delay] = byType['type.googleapis.com/google.rpc.RetryInfo']?.[1] ?? [];
    expect(fieldsOf(delay as Uint8Array)[1]).toEqual([300]);
    expect(byType['type.googleapis.com/google.rpc.BadRequest']).toBeUndefined();
  });

  it('tells of a defect nothing but that it is one, and of a store that is away when to come back', () => {
    expect(statusOfProblem(problemOf(new TypeError('secret')))).toMatchObject({
      code: status.INTERNAL,
      details: 'the call failed inside the server',
    });
    const away = statusOfProblem(problemOf(new StoreUnavailableError('secret')));
    expect(away.code).toBe(status.UNAVAILABLE);
    expect(away.details).not.toContain('secret');
    expect(away.metadata.get('retry-after')).toEqual(['5']);
  });
});

describe('The status of a call whose job is over', () => {
  const id = '0199c1d2-7a3b-7c4d-8e5f-60718293a4b5';

  it.each([
    ['succeeded', null, null],
    ['running', failure('worker_lost', 'it died'), null],
    ['cancelled', null, status.CANCELLED],
    ['expired', failure('deadline_exceeded', 'start_by passed'), status.DEADLINE_EXCEEDED],
    ['expired', null, status.DEADLINE_EXCEEDED],
    ['failed', failure('device_fatal', 'a broken card'), status.UNAVAILABLE],
    ['failed', null, status.INTERNAL],
  ] as const)('of one that is %s with %j', (state, why, code) => {
    expect(statusOfJob({ id, state, failure: why })?.code ?? null).toBe(code);
  });

  it('names the field at fault', () => {
    const why = failure('invalid_request', 'the picture is damaged', { field: 'init_image' });
    const { metadata } = statusOfJob({ id, state: 'failed', failure: why }) ?? {};
    const { byType } = statusDetails(metadata?.get('grpc-status-details-bin')[0]);
    expect(pairs(byType['type.googleapis.com/google.rpc.BadRequest'])).toEqual([
      ['init_image', 'the picture is damaged'],
    ]);
  });
});
