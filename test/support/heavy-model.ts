import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { tinyModelDir } from './tiny-model.js';

/** Words of its text encoder; with 32 numbers of 2 bytes each they take 64 MiB. */
const WORDS = 2 ** 20;
const EMBEDDING = 'embeddings.token_embedding.weight';

interface TensorEntry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

/** Writes a tiny pipeline whose text encoder knows so many words that one sees its memory come and go. */
export async function writeHeavyModel(folder: string): Promise<string> {
  cpSync(await tinyModelDir(), folder, { recursive: true });
  const config = join(folder, 'text_encoder', 'config.json');
  // As text: JavaScript would write 1.0 as 1, which is no longer a fraction to who reads it.
  writeFileSync(config, readFileSync(config, 'utf8').replace(/"vocab_size": \d+/, `"vocab_size": ${WORDS}`));
  growEmbedding(join(folder, 'text_encoder', 'model.safetensors'));
  return folder;
}

/** https://huggingface.co/docs/safetensors: length of the header, header, tensors without gaps. */
function growEmbedding(file: string): void {
  const bytes = readFileSync(file);
  const headerBytes = Number(bytes.readBigUInt64LE());
  const { __metadata__: metadata, ...tensors } = JSON.parse(
    bytes.subarray(8, 8 + headerBytes).toString('utf8'),
  ) as Record<string, TensorEntry>;
  const header: Record<string, unknown> = { __metadata__: metadata };
  const parts: Buffer[] = [];
  let at = 0;
  for (const [name, { dtype, shape, data_offsets: offsets }] of Object.entries(tensors)) {
    const isGrown = name === EMBEDDING;
    const [from, to] = offsets.map((offset) => 8 + headerBytes + offset);
    const data = isGrown ? Buffer.alloc(WORDS * shape[1]! * 4, 1) : bytes.subarray(from, to);
    header[name] = { dtype, shape: isGrown ? [WORDS, shape[1]] : shape, data_offsets: [at, at + data.length] };
    parts.push(data);
    at += data.length;
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  writeFileSync(file, Buffer.concat([length, text, ...parts]));
}
