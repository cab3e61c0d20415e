import type { Server } from '@grpc/grpc-js';
import type { PackageDefinition } from '@grpc/proto-loader';
import { ReflectionService } from '@grpc/reflection';
import { service as healthService } from 'grpc-health-check';

import { fileDescriptors } from './descriptors.js';

const SERVICES = ['safelight.v1.JobService', 'safelight.v1.CatalogService', 'grpc.health.v1.Health'];

/**
 * Server reflection, so that a client needs no proto files. It is given the descriptors buf made: those that proto-loader
 * makes up lose the files that import google.protobuf.
 */
export function addReflection(server: Server): void {
  const files = {
    ours: { fileDescriptorProtos: fileDescriptors() },
    health: healthService['Check']?.requestType,
  } as unknown as PackageDefinition;
  new ReflectionService(files, { services: SERVICES }).addToServer(server);
}
