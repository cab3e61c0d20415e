import type { Migration } from './migration.js';

/**
 * What it takes to go on after any process dies, on one node or many: who holds a claim and until when, where a job goes on,
 * on which rungs, whose turn it is; the nodes; what models take; messages to webhooks.
 *
 * @param pixelsOf expression for width times height of the picture that a job row asks for
 * @param tuning what one engine wants to be told about the tables
 */
export function recovery(pixelsOf: string, tuning: readonly string[] = []): Migration {
  return {
    version: 3,
    name: 'recovery',
    statements: [
      `ALTER TABLE job ADD COLUMN client text NOT NULL DEFAULT ''`,
      'ALTER TABLE job ADD COLUMN node text',
      'ALTER TABLE job ADD COLUMN lease_until bigint',
      'ALTER TABLE job ADD COLUMN claimed_at bigint',
      'ALTER TABLE job ADD COLUMN pixels bigint NOT NULL DEFAULT 0',
      `ALTER TABLE job ADD COLUMN degradations text NOT NULL DEFAULT '[]'`,
      'ALTER TABLE job ADD COLUMN solo integer NOT NULL DEFAULT 0',
      `ALTER TABLE job ADD COLUMN avoids text NOT NULL DEFAULT '[]'`,
      'ALTER TABLE job ADD COLUMN checkpoint text',
      'ALTER TABLE job ADD COLUMN webhook text',
      `UPDATE job SET pixels = ${pixelsOf} WHERE finished_at IS NULL`,
      // Who waits in which class of a model, and the oldest job of each. It does what the index before it did.
      'DROP INDEX job_by_claim',
      `CREATE INDEX job_by_turn ON job (model, priority, client, sort_at, id, pixels) WHERE state = 'queued'`,
      // The head of one model, with what tells whether there is room for it.
      `CREATE INDEX job_by_claim ON job (model, sort_at, id, pixels) WHERE state = 'queued' AND pixels >= 0`,
      // The head of one class of a model. `priority >= 0` opens it to that question alone, as above.
      `CREATE INDEX job_by_class ON job (priority, model, sort_at, id) WHERE state = 'queued' AND priority >= 0`,
      // When a client was last served.
      `CREATE INDEX job_by_client ON job (client, claimed_at) WHERE claimed_at IS NOT NULL`,
      // What a node holds; what nobody holds any more.
      `CREATE INDEX job_by_node ON job (node) WHERE state = 'running'`,
      `CREATE INDEX job_by_lease ON job (lease_until) WHERE state = 'running'`,

      'ALTER TABLE attempt ADD COLUMN node text',
      'ALTER TABLE attempt ADD COLUMN memory text',

      `CREATE TABLE node (
        name text PRIMARY KEY,
        id text NOT NULL UNIQUE,
        url text,
        state text NOT NULL CHECK (state IN ('serving', 'draining', 'drained')),
        workers text NOT NULL DEFAULT '[]',
        started_at bigint NOT NULL,
        seen_at bigint NOT NULL,
        lease_until bigint NOT NULL
      )`,

      `CREATE TABLE footprint (
        model text NOT NULL,
        device_kind text NOT NULL,
        body text NOT NULL,
        updated_at bigint NOT NULL,
        PRIMARY KEY (model, device_kind)
      )`,

      `CREATE TABLE webhook_delivery (
        job_id text PRIMARY KEY REFERENCES job (id) ON DELETE CASCADE,
        url text NOT NULL,
        message_id text NOT NULL,
        state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'given_up')),
        tries integer NOT NULL DEFAULT 0,
        next_at bigint,
        last_status integer,
        last_error text,
        created_at bigint NOT NULL,
        CHECK ((state = 'pending') = (next_at IS NOT NULL))
      )`,
      `CREATE INDEX webhook_delivery_due ON webhook_delivery (next_at) WHERE state = 'pending'`,
      ...tuning,
    ],
  };
}
