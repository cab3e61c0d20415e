import { describe, expect, it } from '@jest/globals';
import {
  addTallies,
  emptyTally,
  formatTally,
  readJestReport,
  readJunitReport,
} from '../../scripts/testing/reports.mjs';

const jestFile = (name: string, status: string, tests: [string, string][]) => ({
  name: `/repo/${name}`,
  status,
  assertionResults: tests.map(([fullName, outcome]) => ({ fullName, status: outcome })),
});

describe('readJestReport', () => {
  it('names what failed and counts what was left out', () => {
    const report = {
      numPassedTests: 2,
      numPendingTests: 1,
      numTodoTests: 1,
      testResults: [
        jestFile('a.spec.ts', 'failed', [
          ['adds', 'passed'],
          ['divides', 'failed'],
        ]),
        jestFile('b.spec.ts', 'passed', [['holds', 'passed']]),
      ],
    };
    expect(readJestReport(report, '/repo')).toEqual({
      passed: 2,
      failed: 1,
      skipped: 2,
      failures: ['a.spec.ts: divides'],
    });
  });

  it('counts a file that does not load as a failure', () => {
    const report = {
      numPassedTests: 0,
      numPendingTests: 0,
      numTodoTests: 0,
      testResults: [jestFile('broken.spec.ts', 'failed', [])],
    };
    expect(readJestReport(report, '/repo')).toMatchObject({
      failed: 1,
      failures: ['broken.spec.ts: did not run to its end'],
    });
  });
});

describe('readJunitReport', () => {
  it('reads what pytest writes', () => {
    const xml = `<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests"><testsuite name="pytest" errors="1" failures="1" skipped="1" tests="5">
      <testcase classname="tests.unit.test_a" name="test_holds[x &gt; 1]" time="0.1" />
      <testcase classname="tests.unit.test_a" name="test_breaks[&quot;q&quot;]" time="0.1"><failure message="assert 1 == 2">one
        two</failure></testcase>
      <testcase classname="tests.unit.test_a" name="test_waits" time="0.1"><skipped type="pytest.skip" message="needs CUDA">here</skipped></testcase>
      <testcase classname="" name="tests.unit.test_b" time="0.0"><error message="collection failure">no module</error></testcase>
      <testcase classname="tests.unit.test_c" name="test_prints" time="0.1"><system-out>hello</system-out></testcase>
    </testsuite></testsuites>`;
    expect(readJunitReport(xml)).toEqual({
      passed: 2,
      failed: 2,
      skipped: 1,
      failures: ['tests.unit.test_a: test_breaks["q"]', ': tests.unit.test_b'],
    });
  });
});

describe('formatTally', () => {
  it('speaks of skipped tests only when there are any', () => {
    expect(formatTally({ ...emptyTally(), passed: 3 })).toBe('3 passed, 0 failed');
    expect(formatTally(addTallies([emptyTally(), { passed: 1, failed: 2, skipped: 3, failures: ['x'] }]))).toBe(
      '1 passed, 2 failed, 3 skipped',
    );
  });
});
