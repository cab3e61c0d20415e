import type { DescMessage } from '@bufbuild/protobuf';
import { createFileRegistry, fromBinary } from '@bufbuild/protobuf';
import { BinaryReader } from '@bufbuild/protobuf/wire';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';

import { DESCRIPTORS } from '../../../gen/safelight/v1/descriptors.js';

const descriptorSet = Buffer.from(DESCRIPTORS, 'base64');

const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, descriptorSet));

/** Our proto files and those they import, each as an encoded `google.protobuf.FileDescriptorProto`. */
export function fileDescriptors(): Buffer[] {
  const reader = new BinaryReader(descriptorSet);
  const files: Buffer[] = [];
  // The set has this one field.
  while (reader.pos < reader.len) {
    reader.tag();
    files.push(Buffer.from(reader.bytes()));
  }
  return files;
}

/** What a method takes. @param path of the call, such as `/safelight.v1.JobService/GetJob` */
export function requestType(path: string): DescMessage {
  const [, service = '', name = ''] = path.split('/');
  const method = registry.getService(service)?.methods.find((each) => each.name === name);
  if (method === undefined) throw new Error(`the descriptors have no ${path}`);
  return method.input;
}
