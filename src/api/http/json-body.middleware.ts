import type { NestMiddleware } from '@nestjs/common';
import { Injectable } from '@nestjs/common';
import type { NextFunction, Request, Response } from 'express';

import { HttpConfig } from '../../config/http.config.js';
import { callerOf } from './caller-of.js';
import { JsonError, parseExactJson } from './json/exact-json.js';
import { PictureRoutes } from './picture-routes.js';
import { Problem } from './problem.js';

/** Reads a JSON body with exact integers; Express's parser rounds them. A request without a body is left without one. */
@Injectable()
export class JsonBodyMiddleware implements NestMiddleware {
  constructor(
    private readonly http: HttpConfig,
    private readonly pictureRoutes: PictureRoutes,
  ) {}

  use(request: Request, _response: Response, next: NextFunction): void {
    if (!hasBody(request)) {
      request.body = undefined;
      next();
      return;
    }
    // Nobody is read to who may not speak.
    callerOf(request);
    this.read(request).then((body) => {
      request.body = body;
      next();
    }, next);
  }

  private async read(request: Request): Promise<unknown> {
    try {
      checkType(request);
      const { maxBodyBytes, bodyLimitBytes } = this.http;
      const limit = this.pictureRoutes.includes(request.originalUrl) ? maxBodyBytes : bodyLimitBytes;
      return parse(decode(await collect(request, limit)));
    } catch (error) {
      // What is not read is thrown away while it comes, so that the client gets to read the answer instead of an error of
      // its socket. How long that may take is bounded by the server's requestTimeout.
      request.resume();
      throw error;
    }
  }
}

function hasBody({ headers }: Request): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

function checkType({ headers }: Request): void {
  const [type = '', ...parameters] = (headers['content-type'] ?? '')
    .split(';')
    .map((part) => part.trim().toLowerCase());
  if (!/^application\/(?:[\w.-]+\+)?json$/.test(type)) {
    throw new Problem('unsupported_media_type', `Content-Type must be application/json, not ${shown(type)}`);
  }
  const charset = parameters.find((parameter) => parameter.startsWith('charset='))?.slice('charset='.length);
  if (charset !== undefined && !/^"?utf-?8"?$/.test(charset)) {
    throw new Problem('unsupported_media_type', `the charset must be utf-8, not ${shown(charset)}`);
  }
  const encoding = headers['content-encoding']?.toLowerCase() ?? 'identity';
  if (encoding !== 'identity') {
    throw new Problem('unsupported_media_type', `a body with Content-Encoding ${shown(encoding)} is not taken`);
  }
}

function shown(word: string): string {
  return word === '' ? 'none' : word.slice(0, 80);
}

async function collect(request: Request, limit: number): Promise<Buffer> {
  const announced = Number(request.headers['content-length']) || null;
  if (announced !== null && announced > limit) throw tooLarge(announced, limit);
  const chunks: Buffer[] = [];
  let bytes = 0;
  // Resolves with nothing: the listeners stay with the request, which may wait long for its answer.
  await new Promise<void>((resolve, reject) => {
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= limit) chunks.push(chunk);
      else reject(tooLarge(announced, limit));
    });
    request.on('end', () => resolve());
    request.on('error', () => reject(new Problem('malformed_request', 'the body ended early')));
  });
  return Buffer.concat(chunks.splice(0));
}

/** `announced`: bytes the request says it has; null: it does not say. */
function tooLarge(announced: number | null, limit: number): Problem {
  const message = `must have at most ${limit} bytes`;
  const error = { field: 'body', message, value: announced, limit: { max_bytes: limit } };
  return new Problem('body_too_large', `the body may have ${limit} bytes`, { errors: [error] });
}

function decode(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new Problem('malformed_request', 'the body is not UTF-8');
  }
}

function parse(text: string): unknown {
  try {
    return parseExactJson(text);
  } catch (error) {
    if (error instanceof JsonError)
      throw new Problem(error.isSyntax ? 'malformed_json' : 'malformed_request', error.message);
    throw error;
  }
}
