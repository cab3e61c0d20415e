/** What `GET /v1/system` of a measured server told; read by people and programs, so it is kept as it came. */
export interface SystemSnapshot {
  readonly versions: Readonly<Record<string, string>>;
  readonly node: { readonly system: string; readonly processor: string; readonly cores: number };
  readonly database: { readonly kind: string | null; readonly version: string | null };
  readonly workers: readonly {
    readonly device: string;
    readonly device_name: string;
    readonly versions: Readonly<Record<string, string>> | null;
  }[];
  readonly models: readonly {
    readonly id: string;
    readonly weights: readonly { readonly dtype: string; readonly sha256: string | null }[];
  }[];
  readonly settings: Readonly<Record<string, unknown>>;
}

const TIMEOUT_MS = 10_000;

/** Of a server that is ready: before, its workers have not told of themselves. `key`: with the role monitor or operator. */
export async function systemSnapshot(url: string, key: string | null = null): Promise<SystemSnapshot> {
  const response = await fetch(`${url}/v1/system`, {
    headers: key === null ? {} : { Authorization: `Bearer ${key}` },
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (!response.ok) throw new Error(`${url}/v1/system answered ${response.status}`);
  return (await response.json()) as SystemSnapshot;
}

/** The snapshot for the end of a report: what a reader compares first. All of it is in the report's file. */
export function snapshotText({ versions, database, workers, models }: SystemSnapshot): string {
  const [worker] = workers;
  const devices = workers.map(({ device, device_name: name }) => `${device} (${name})`);
  const hashes = models.flatMap(({ id, weights }) =>
    weights.map(({ dtype, sha256 }) => `${id} ${dtype} ${sha256?.slice(0, 12) ?? 'of unknown weights'}`),
  );
  return [
    `- server: ${listed({ ...versions, [database.kind ?? 'database']: database.version ?? 'unknown' })}`,
    `- worker: ${listed(worker?.versions ?? {})}`,
    `- devices: ${devices.join(', ') || 'none'}`,
    `- models, weights by SHA-256: ${hashes.join(', ') || 'none loaded'}`,
  ].join('\n');
}

function listed(versions: Readonly<Record<string, string>>): string {
  const told = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return told.join(', ') || 'untold';
}
