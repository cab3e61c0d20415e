import { quantile } from '../../support/statistics.js';
import { NullServer } from '../../overhead/null-server.js';
import { jobsPerSecond } from '../../overhead/throughput.js';
import type { ExperimentReport } from '../experiment.js';
import { runExperiment } from '../experiment.js';
import { parseMix } from '../mix.js';
import type { LoadOptions } from '../options.js';
import { OwnServer } from '../own-server.js';
import type { ProbeResult } from './live-probe.js';
import { probeLiveness } from './live-probe.js';

/** Sizes, step counts, priorities, exact ones among others, one of two pictures: what may share forwards and what may not. */
const MIX = '64x64@20:3,64x64@7/high:2,96x64@12:2,32x32@8+exact:2,64x96@16/low+exact:1,2*48x48@5/urgent:1,80x80@1:1';
/** Four times what a worker takes at a time, so that jobs wait at every moment. */
const OPEN = 64;

/** Milliseconds. */
export interface LivenessFigures {
  readonly probes: number;
  readonly failed: number;
  readonly p50: number;
  readonly p99: number;
  readonly slowest: number;
  /** By how much the probe's own process was late to send, 99th percentile. */
  readonly ownLateP99: number;
}

export interface FullLoadFigures {
  readonly experiment: ExperimentReport;
  readonly liveness: LivenessFigures;
}

/** A mix of everything, as many open as keep the queue full until the last, and liveness meanwhile. */
export async function measureFullLoad(quick: boolean, tell: (line: string) => void): Promise<FullLoadFigures> {
  const requests = quick ? 48 : 600;
  const options: LoadOptions = {
    dialect: 'native',
    model: null,
    arrivals: { pattern: 'burst', size: requests, ratePerSecond: null },
    requests,
    concurrency: OPEN,
    mix: parseMix(MIX),
    variants: 4,
    warmUp: quick ? 16 : OPEN,
    seed: 5,
    timeoutSeconds: 300,
  };
  tell('full load: starting a server');
  const server = await OwnServer.start();
  try {
    let probed: ProbeResult | null = null;
    const beside = async (over: AbortSignal) => {
      probed = await probeLiveness(server.url, over);
    };
    const experiment = await runExperiment(options, {
      server,
      apiKey: null,
      tell: (line) => tell(`full load: ${line}`),
      beside,
    });
    return { experiment, liveness: livenessOf(probed!) };
  } finally {
    await server.remove();
  }
}

/** Liveness of a server whose own thread is the bottleneck: a worker that draws nothing, and 64 callers. */
export async function measureBusiestServer(seconds: number, tell: (line: string) => void): Promise<LivenessFigures> {
  tell('liveness beside jobs that draw nothing');
  const server = await NullServer.start('embedded');
  const over = new AbortController();
  try {
    const probing = probeLiveness(server.url, over.signal);
    await jobsPerSecond(server, OPEN, seconds).finally(() => over.abort());
    return livenessOf(await probing);
  } finally {
    await server.remove();
  }
}

function livenessOf({ times, lateMs, failed }: ProbeResult): LivenessFigures {
  return {
    probes: times.length + failed,
    failed,
    p50: quantile(times, 0.5),
    p99: quantile(times, 0.99),
    slowest: times.reduce((most, time) => Math.max(most, time), 0),
    ownLateP99: quantile(lateMs, 0.99),
  };
}
