import { DatabaseError } from 'pg';

import { StoreUnavailableError } from '../../jobs/ports/job-store.port.js';
import { isConflict, toStoreError } from './postgres-errors.js';

function answer(code: string): DatabaseError {
  const error = new DatabaseError('said the server', 1, 'error');
  error.code = code;
  return error;
}

describe('errors of PostgreSQL', () => {
  it.each([
    ['a connection that breaks', '08006'],
    ['a full disk', '53100'],
    ['a statement over its time', '57014'],
    ['a shutdown', '57P01'],
    ['a standby', '25006'],
    ['a transaction the server ended for silence', '25P03'],
    ['a deadlock that came each time', '40P01'],
  ])('%s means that the store is away', (_, code) => {
    expect(toStoreError(answer(code))).toBeInstanceOf(StoreUnavailableError);
  });

  it.each([
    ['a text that is no statement', '42601'],
    ['a broken rule of the schema', '23514'],
  ])('%s stays what it is', (_, code) => {
    const error = answer(code);
    expect(toStoreError(error)).toBe(error);
  });

  it('what is no answer of the server means that it is away, and says of each address why', () => {
    const both = new AggregateError([new Error('refused by ::1'), new Error('refused by 127.0.0.1')]);
    expect(toStoreError(both)).toBeInstanceOf(StoreUnavailableError);
    expect(toStoreError(both).message).toContain('refused by ::1; refused by 127.0.0.1');
  });

  it('tells what doing it again may mend', () => {
    expect(['40001', '40P01', '23505'].map((code) => isConflict(answer(code)))).toEqual([true, true, true]);
    expect([answer('42601'), new Error('no answer')].map(isConflict)).toEqual([false, false]);
  });
});
