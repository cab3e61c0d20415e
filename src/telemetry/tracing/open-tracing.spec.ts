import { jest } from '@jest/globals';
import { pino } from 'pino';

import { TelemetryConfig } from '../../config/telemetry.config.js';
import { openTracing } from './open-tracing.js';

const loaded: string[] = [];
for (const name of [
  '@opentelemetry/sdk-trace',
  '@opentelemetry/exporter-trace-otlp-http',
  '@opentelemetry/resources',
]) {
  // The module itself, and a note that somebody wanted it.
  jest.unstable_mockModule(name, () => {
    loaded.push(name);
    return { ...jest.requireActual<Record<string, unknown>>(name) };
  });
}

const open = (otlpEndpoint: string | null) =>
  openTracing({
    config: new TelemetryConfig({ otlpEndpoint }),
    node: 'here',
    version: '1.0.0',
    log: pino({ level: 'silent' }),
  });

describe('traces', () => {
  it('that are off load nothing of OpenTelemetry, and those that are on do', async () => {
    const off = await open(null);
    expect(off.isOn).toBe(false);
    expect(off.begin(null).sampled).toBe(false);
    expect(loaded).toEqual([]);

    const on = await open('http://127.0.0.1:9');
    expect(on.isOn).toBe(true);
    expect(loaded).toContain('@opentelemetry/sdk-trace');
    await on.close();
  });
});
