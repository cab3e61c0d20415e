import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { NO_POSTGRES, postgresUrl } from '../../support/postgres.js';
import type { StormOptions } from './options.js';
import type { StormReport } from './storm.js';
import { calm, storm } from './storm.js';

export interface Storms {
  readonly reports: readonly StormReport[];
  /** Topologies that could not be tried, with the reason. */
  readonly skipped: readonly string[];
}

/** A calm and a storm for each topology. */
export async function runStorms(options: StormOptions, tell: (line: string) => void): Promise<Storms> {
  const folder = mkdtempSync(join(tmpdir(), 'safelight-storm-'));
  const reports: StormReport[] = [];
  const skipped: string[] = [];
  let before: Awaited<ReturnType<typeof calm>> | null = null;
  try {
    for (const nodes of options.nodes) {
      if (nodes === 3 && postgresUrl === null) {
        skipped.push(`three nodes: ${NO_POSTGRES}`);
        continue;
      }
      before = await calm(options, nodes, join(folder, `calm-${nodes}`), before?.references ?? null, tell);
      reports.push(await storm(options, nodes, join(folder, `storm-${nodes}`), before, tell));
    }
    return { reports, skipped };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
