import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

import type { OnModuleInit } from '@nestjs/common';
import { Injectable } from '@nestjs/common';
import type { Request } from 'express';

import { AccessConfig } from '../../config/access.config.js';
import { HttpConfig } from '../../config/http.config.js';
import { Clock } from '../../jobs/ports/clock.port.js';
import { SecretStore } from '../../jobs/ports/secret-store.port.js';
import { artifactPath } from '../rest/paths.js';
import { Authenticate } from './authenticate.js';

const SECRET_NAME = 'artifact_links';
const SECRET_BYTES = 32;

/** Longest host that is repeated in an answer: what DNS allows, and a port. */
const HOST = /^[A-Za-z0-9.:[\]_-]{1,262}$/;

/**
 * Addresses of pictures for clients that fetch them without a key. While keys are in use they are signed: HMAC-SHA256 over
 * path and time of expiry, by a secret that all nodes share.
 */
@Injectable()
export class ArtifactLinks implements OnModuleInit {
  private secret = '';

  constructor(
    private readonly access: AccessConfig,
    private readonly http: HttpConfig,
    private readonly authenticate: Authenticate,
    private readonly clock: Clock,
    private readonly secrets: SecretStore,
  ) {}

  async onModuleInit(): Promise<void> {
    this.secret = await this.secrets.obtain(SECRET_NAME, randomBytes(SECRET_BYTES).toString('base64url'));
  }

  /** Fetchable where the request came from: at the public URL of the settings, else at the address the request came to. */
  absolute(request: Request, jobId: string, index: number): string {
    return `${this.baseOf(request)}${this.path(jobId, index)}`;
  }

  /** The path alone, signed when it has to be. */
  path(jobId: string, index: number): string {
    const path = artifactPath(jobId, index);
    if (!this.authenticate.keysInUse) return path;
    const expires = Math.floor(this.clock.now() / 1000) + this.access.linkSeconds;
    return `${path}?expires=${expires}&signature=${this.signature(path, expires)}`;
  }

  /** Whether the query of a request for a picture holds our signature, and its time is not over. */
  isSigned(jobId: string, index: string, query: Record<string, unknown>): boolean {
    const { expires, signature } = query;
    if (typeof expires !== 'string' || typeof signature !== 'string' || !/^\d{1,12}$/.test(expires)) return false;
    const expected = Buffer.from(this.signature(artifactPath(jobId, Number(index)), Number(expires)));
    const given = Buffer.from(signature);
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) return false;
    return this.clock.now() < Number(expires) * 1000;
  }

  private signature(path: string, expires: number): string {
    return createHmac('sha256', this.secret).update(`${path}\n${expires}`).digest('base64url');
  }

  private baseOf(request: Request): string {
    if (this.http.publicUrl !== null) return this.http.publicUrl;
    const host = request.headers.host ?? '';
    if (HOST.test(host)) return `${request.protocol}://${host}`;
    const { localAddress = '127.0.0.1', localPort } = request.socket;
    return `http://${localAddress.includes(':') ? `[${localAddress}]` : localAddress}:${localPort}`;
  }
}
