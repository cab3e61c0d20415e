import { metricOf } from './server-facts.js';

const TEXT = `# HELP safelight_jobs Jobs in the store, by state.
# TYPE safelight_jobs gauge
safelight_jobs{state="queued"} 3
safelight_jobs{state="running"} 0
safelight_process_start_time_seconds 1795281066
`;

describe('a metric', () => {
  it('is found by its series', () => {
    expect(metricOf(TEXT, 'safelight_jobs{state="queued"}')).toBe(3);
    expect(metricOf(TEXT, 'safelight_jobs{state="running"}')).toBe(0);
    expect(metricOf(TEXT, 'safelight_process_start_time_seconds')).toBe(1795281066);
  });

  it('is unknown where it is not told', () => {
    expect(metricOf(TEXT, 'safelight_jobs')).toBeNull();
    expect(metricOf('', 'safelight_process_start_time_seconds')).toBeNull();
  });
});
