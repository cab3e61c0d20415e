import { configArea } from './config-area.js';
import { orNull, ratio, text } from './kinds.js';
import { given } from './setting.js';

export class TelemetryConfig extends configArea({
  section: 'telemetry',
  title: 'Telemetry',
  about:
    'Traces of requests and jobs, sent to an OpenTelemetry collector (or whatever takes its protocol) over HTTP. Off unless an address is given. Headers it asks for, such as a key, stand in `OTEL_EXPORTER_OTLP_HEADERS`; further facts about the service in `OTEL_RESOURCE_ATTRIBUTES`.',
  fields: {
    otlpEndpoint: given(
      orNull(
        text({
          pattern: /^https?:\/\/[^\s/@?#]+(\/[^\s@?#]*)?$/,
          allowed: 'the address of an OTLP/HTTP receiver, with http:// or https:// and without user and password',
        }),
      ),
      null,
      'Base address of the receiver, such as `http://127.0.0.1:4318`; spans go to `/v1/traces` below it. Null: no traces, and nothing of OpenTelemetry is loaded.',
      { commonEnv: 'OTEL_EXPORTER_OTLP_ENDPOINT' },
    ),
    sampleRatio: given(
      ratio(),
      1,
      'Share of the requests that are traced, of those that bring no trace of their own: a `traceparent` decides for itself.',
      { commonEnv: 'OTEL_TRACES_SAMPLER_ARG' },
    ),
    serviceName: given(
      text({ pattern: /^\S{1,100}$/, allowed: 'a name of up to 100 characters without spaces' }),
      'safelight',
      'Name under which the traces appear.',
      { commonEnv: 'OTEL_SERVICE_NAME' },
    ),
  },
}) {}
