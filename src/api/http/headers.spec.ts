import { allowedMethods } from './allowed-methods.js';
import { boundedValue } from './bounded-value.js';
import { matchesEtag } from './etag.js';
import { preferredWaitSeconds } from './prefer.js';

describe('preferredWaitSeconds', () => {
  it.each([
    [undefined, null],
    ['respond-async', null],
    ['wait=5', 5],
    ['respond-async, wait=5; foo=bar', 5],
    ['WAIT = "7"', 7],
    ['wait=100000', 300],
    ['wait=-1', null],
    ['wait=5s', null],
    ['await=5', null],
  ])('reads %j as %j', (header, seconds) => {
    expect(preferredWaitSeconds(header)).toBe(seconds);
  });
});

describe('matchesEtag', () => {
  it.each([
    [undefined, false],
    ['"a"', true],
    ['W/"a"', true],
    ['"b", "a"', true],
    ['*', true],
    ['a', false],
    ['"b"', false],
  ])('of %j is %j', (header, matches) => {
    expect(matchesEtag(header, '"a"')).toBe(matches);
  });
});

describe('allowedMethods', () => {
  const route = (path: string, ...methods: string[]) => ({
    route: { path, methods: Object.fromEntries(methods.map((method) => [method, true])) },
  });
  const router = {
    stack: [route('/a', 'get'), {}, route('/a', 'post'), route('/a/:id', 'delete'), route('/b.c', 'get')],
  };
  it.each([
    ['/a', ['GET', 'HEAD', 'POST']],
    ['/a/', ['GET', 'HEAD', 'POST']],
    ['/a/1', ['DELETE']],
    ['/a/1/2', []],
    ['/b.c', ['GET', 'HEAD']],
    ['/bxc', []],
  ])('at %s are %j', (path, methods) => {
    expect(allowedMethods(router, path)).toEqual(methods);
  });
});

describe('boundedValue', () => {
  it.each([
    [undefined, 'null'],
    [null, 'null'],
    [false, 'false'],
    [1.5, '1.5'],
    [Number.NaN, '"NaN"'],
    [2n ** 64n, '18446744073709551616'],
    ['x', '"x"'],
    [{ a: [2n ** 64n] }, String.raw`"{\"a\":[\"18446744073709551616\"]}"`],
  ])('shows %p as %s', (value, json) => {
    expect(JSON.stringify(boundedValue(value))).toBe(json);
  });

  it('cuts what is long, and never in the middle of a character', () => {
    expect(boundedValue('x'.repeat(1_000))).toBe(`${'x'.repeat(120)}… (1000 characters)`);
    expect((boundedValue(`${'x'.repeat(119)}😀😀`) as string).isWellFormed()).toBe(true);
  });
});
