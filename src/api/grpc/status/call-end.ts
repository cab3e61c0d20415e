import type { Metadata, status, StatusObject } from '@grpc/grpc-js';

/** Ends a call with a status, as grpc-js takes it from what is thrown. */
export class CallEnd extends Error {
  readonly code: status;
  readonly details: string;
  readonly metadata: Metadata;

  constructor({ code, details, metadata }: StatusObject) {
    super(details);
    this.name = 'CallEnd';
    this.code = code;
    this.details = details;
    this.metadata = metadata;
  }
}
