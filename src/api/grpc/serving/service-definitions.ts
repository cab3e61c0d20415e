import type { PackageDefinition } from '@grpc/proto-loader';

import { CatalogServiceService, JobServiceService } from '../../../gen/safelight/v1/safelight.pb.js';
import { Problem } from '../../http/problem.js';
import { requestType } from './descriptors.js';
import { checkExtent, ExtentError } from './request-extent.js';

/** Methods that take pictures; all others take a few words. */
const SUBMISSIONS: ReadonlySet<string> = new Set(['SubmitJob', 'SubmitJobs', 'Generate']);

/** Stands where a request could not be read: whoever handles the call refuses it with the problem. */
export class UnreadableRequest {
  constructor(readonly problem: Problem) {}
}

interface Method {
  readonly path: string;
  requestDeserialize(this: void, bytes: Buffer): unknown;
}

/**
 * Our services for grpc-js, with readers that never throw: what is thrown there would end the call as INTERNAL, and the
 * mistake is the client's. @param bodyLimitBytes of requests that are no submissions
 */
export function serviceDefinitions(bodyLimitBytes: number): PackageDefinition {
  const bounded = (methods: Readonly<Record<string, Method>>) =>
    Object.fromEntries(Object.entries(methods).map(([name, method]) => [name, boundedMethod(method, bodyLimitBytes)]));
  return {
    'safelight.v1.JobService': bounded(JobServiceService),
    'safelight.v1.CatalogService': bounded(CatalogServiceService),
  } as unknown as PackageDefinition;
}

function boundedMethod(method: Method, bodyLimitBytes: number): Method {
  const name = method.path.slice(method.path.lastIndexOf('/') + 1);
  const maxBytes = SUBMISSIONS.has(name) ? Number.POSITIVE_INFINITY : bodyLimitBytes;
  const type = requestType(method.path);
  return {
    ...method,
    requestDeserialize(bytes) {
      if (bytes.length > maxBytes) {
        const detail = `a message of ${name} has at most ${maxBytes} bytes, and this one ${bytes.length}`;
        return new UnreadableRequest(new Problem('body_too_large', detail));
      }
      try {
        checkExtent(type, bytes);
        return method.requestDeserialize(bytes);
      } catch (error) {
        const why = error instanceof ExtentError ? error.message : `the bytes are no message ${type.typeName}`;
        return new UnreadableRequest(new Problem('malformed_request', why));
      }
    },
  };
}
