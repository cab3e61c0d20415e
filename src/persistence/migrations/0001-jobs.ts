import type { Migration } from './migration.js';

/**
 * Types mean the same on both engines: text, integer, bigint for epoch milliseconds and bytes, JSON as text. The words in
 * the checks repeat the domain's unions on purpose: a migration is history and does not follow later code.
 */
export const jobs: Migration = {
  version: 1,
  name: 'jobs',
  statements: [
    `CREATE TABLE job (
      id text PRIMARY KEY,
      state text NOT NULL
        CHECK (state IN ('scheduled', 'queued', 'running', 'succeeded', 'failed', 'cancelled', 'expired')),
      priority integer NOT NULL CHECK (priority BETWEEN 0 AND 3),
      model text NOT NULL,
      request text NOT NULL,
      sort_at bigint NOT NULL,
      run_at bigint,
      start_by bigint,
      finish_by bigint,
      attempt integer NOT NULL DEFAULT 0,
      lease_token bigint NOT NULL DEFAULT 0,
      cancel_requested_at bigint,
      progress text,
      artifacts text NOT NULL DEFAULT '[]',
      effective text,
      failure text,
      created_at bigint NOT NULL,
      started_at bigint,
      finished_at bigint,
      CHECK ((state = 'scheduled') = (run_at IS NOT NULL)),
      CHECK ((state IN ('succeeded', 'failed', 'cancelled', 'expired')) = (finished_at IS NOT NULL)),
      CHECK ((state = 'succeeded') = (effective IS NOT NULL))
    )`,
    // The head of one model; the order over all models.
    `CREATE INDEX job_by_claim ON job (model, sort_at, id) WHERE state = 'queued'`,
    `CREATE INDEX job_by_position ON job (sort_at, id) WHERE state = 'queued'`,
    // What falls due.
    `CREATE INDEX job_by_run_at ON job (run_at) WHERE state = 'scheduled'`,
    `CREATE INDEX job_by_start_by ON job (start_by)
      WHERE state IN ('scheduled', 'queued') AND started_at IS NULL AND start_by IS NOT NULL`,
    `CREATE INDEX job_by_finish_by ON job (finish_by)
      WHERE state IN ('scheduled', 'queued') AND finish_by IS NOT NULL`,
    // What retention deletes.
    `CREATE INDEX job_by_finished_at ON job (finished_at) WHERE finished_at IS NOT NULL`,
    // Each state in order of id, for lists. One index over (state, id) would do, but SQLite, which keeps no statistics
    // of its own accord, would prefer its equality to the ranges above and read every queued job where it needs one.
    `CREATE INDEX job_scheduled ON job (id) WHERE state = 'scheduled'`,
    `CREATE INDEX job_queued ON job (id) WHERE state = 'queued'`,
    `CREATE INDEX job_running ON job (id) WHERE state = 'running'`,
    `CREATE INDEX job_final ON job (state, id) WHERE finished_at IS NOT NULL`,

    `CREATE TABLE attempt (
      job_id text NOT NULL REFERENCES job (id) ON DELETE CASCADE,
      number integer NOT NULL CHECK (number >= 1),
      worker text,
      device text,
      started_at bigint NOT NULL,
      finished_at bigint,
      phase text CHECK (phase IN ('load', 'encode', 'prepare', 'denoise', 'decode', 'validate', 'save')),
      step integer NOT NULL DEFAULT 0,
      outcome text NOT NULL DEFAULT 'running'
        CHECK (outcome IN ('running', 'succeeded', 'failed', 'cancelled', 'expired', 'returned')),
      failure text,
      phases text NOT NULL DEFAULT '[]',
      peak_memory_bytes bigint,
      degradations text NOT NULL DEFAULT '[]',
      resumed_from_step integer,
      PRIMARY KEY (job_id, number),
      CHECK ((outcome = 'running') = (finished_at IS NULL))
    )`,

    `CREATE TABLE job_event (
      job_id text NOT NULL REFERENCES job (id) ON DELETE CASCADE,
      seq integer NOT NULL CHECK (seq >= 1),
      at bigint NOT NULL,
      body text NOT NULL,
      PRIMARY KEY (job_id, seq)
    )`,

    // One row for each job sent under a client's key: the key is free again when retention has taken the last of them.
    `CREATE TABLE submission (
      idempotency_key text NOT NULL,
      position integer NOT NULL,
      request_hash text NOT NULL,
      job_id text NOT NULL REFERENCES job (id) ON DELETE CASCADE,
      PRIMARY KEY (idempotency_key, position)
    )`,
    // Deleting a job looks for its submission.
    `CREATE INDEX submission_by_job ON submission (job_id)`,
  ],
};
