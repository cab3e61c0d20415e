import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

import type { WebSocket } from 'ws';
import { WebSocketServer } from 'ws';

import { eventually } from './signals.js';
import { pngOf } from './pictures.js';

/** One node of a prompt in ComfyUI's API format. */
interface GraphNode {
  readonly class_type: string;
  readonly inputs: Readonly<Record<string, unknown>>;
}

export interface SubmittedPrompt {
  readonly id: string;
  readonly clientId: string;
  readonly graph: Readonly<Record<string, GraphNode>>;
  /** As it came over the wire: seeds are longer than numbers of JavaScript. */
  readonly text: string;
}

interface Picture {
  readonly filename: string;
  readonly bytes: Buffer;
}

/** How a sampler ends instead of sampling. */
export interface NodeError {
  readonly exception_type: string;
  readonly exception_message: string;
}

const CHECKPOINTS = ['sd15.safetensors', 'sdxl/base.safetensors', 'flux-fp8.safetensors'];
const CLASSES = [
  ...['CheckpointLoaderSimple', 'UNETLoader', 'DualCLIPLoader', 'VAELoader', 'CLIPTextEncode', 'ConditioningZeroOut'],
  ...['EmptyLatentImage', 'EmptySD3LatentImage', 'KSampler', 'VAEDecode', 'VAEDecodeTiled', 'PreviewImage'],
  ...['FluxGuidance', 'BasicGuider', 'CFGGuider', 'RandomNoise', 'KSamplerSelect', 'BasicScheduler'],
  ...['ModelSamplingFlux', 'SamplerCustomAdvanced'],
];
const SAMPLERS = ['KSampler', 'SamplerCustomAdvanced'];
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * Speaks ComfyUI's protocol over real sockets (server.py and execution.py of its repository, 2026): one prompt at a time,
 * events for the client that submitted it, history, queue, interruption. Its pictures are one colour; a test says what goes
 * wrong.
 */
export class ComfyUiServer {
  readonly prompts: SubmittedPrompt[] = [];
  readonly interrupts: string[] = [];
  readonly deletions: string[] = [];
  readonly handshakes: IncomingMessage['headers'][] = [];
  /** Steps after which a sampler waits for {@link resume}; null: it does not. */
  pauseAtStep: number | null = null;
  /** What the next sampler ends with; null: it samples. */
  failure: NodeError | null = null;
  /** Takes no sockets. */
  refusesSockets = false;
  /** Answers nothing, as one that hangs. */
  isHung = false;
  /** What it draws in place of what was asked for; null: that. */
  draw: ((width: number, height: number) => Buffer) | null = null;
  /** Also after it was closed. */
  port = 0;
  private readonly pending: SubmittedPrompt[] = [];
  private running: SubmittedPrompt | null = null;
  private readonly history = new Map<string, unknown>();
  private readonly pictures = new Map<string, Picture>();
  private readonly sockets = new Map<string, WebSocket>();
  private interrupted = false;
  private paused: (() => void) | null = null;
  private numbers = 0;
  private generation = 0;
  private readonly http = createServer((request, response) => void this.answer(request, response));
  private readonly ws = new WebSocketServer({ noServer: true });

  static async start(port = 0): Promise<ComfyUiServer> {
    const server = new ComfyUiServer();
    server.http.on('upgrade', (request, socket, head) => {
      if (server.refusesSockets || server.isHung) return void socket.destroy();
      server.handshakes.push(request.headers);
      server.ws.handleUpgrade(request, socket, head, (opened) => server.welcome(request, opened));
    });
    await new Promise<void>((resolve) => server.http.listen(port, '127.0.0.1', resolve));
    server.port = (server.http.address() as AddressInfo).port;
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get isPaused(): boolean {
    return this.paused !== null;
  }

  /** Lets the sampler that waits go on, and those after it. */
  resume(): void {
    this.pauseAtStep = null;
    this.paused?.();
  }

  async untilPaused(): Promise<void> {
    await eventually('a sampler waits', () => Promise.resolve(this.isPaused || null));
  }

  dropSockets(): void {
    for (const socket of this.sockets.values()) socket.terminate();
    this.sockets.clear();
  }

  /** As after a restart: nothing it had is known any more. */
  forgetAll(): void {
    this.generation += 1;
    this.pending.length = 0;
    this.running = null;
    this.history.clear();
    this.dropSockets();
    this.resume();
  }

  /** Somebody else's prompt, which runs until {@link resume}. */
  occupy(): void {
    this.pauseAtStep = 1;
    const graph = { a: { class_type: 'KSampler', inputs: { steps: 2 } } };
    this.enqueue({ id: randomUUID(), clientId: 'someone', graph, text: '' });
  }

  async close(): Promise<void> {
    this.generation += 1;
    this.resume();
    this.dropSockets();
    this.ws.close();
    this.http.closeAllConnections();
    await new Promise<void>((resolve) => this.http.close(() => resolve()));
  }

  private welcome(request: IncomingMessage, socket: WebSocket): void {
    const client = new URL(request.url ?? '/', this.url).searchParams.get('clientId') ?? randomUUID();
    this.sockets.set(client, socket);
    socket.on('close', () => {
      if (this.sockets.get(client) === socket) this.sockets.delete(client);
    });
    socket.on('error', () => undefined);
    this.send(client, 'status', { status: { exec_info: { queue_remaining: this.pending.length } }, sid: client });
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.isHung) return;
    const { pathname, searchParams } = new URL(request.url ?? '/', this.url);
    const json = (value: unknown, status = 200) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    // Its middleware against pages of other origins.
    if (request.headers.origin !== undefined || request.headers['sec-fetch-site'] === 'cross-site')
      return void json({}, 403);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString('utf8');
    switch (`${request.method} ${pathname.split('/')[1]}`) {
      case 'GET system_stats':
        return void json(STATS);
      case 'GET queue':
        return void json({
          queue_running: this.running === null ? [] : [[0, this.running.id, {}, {}, []]],
          queue_pending: this.pending.map(({ id }, index) => [index + 1, id, {}, {}, []]),
        });
      case 'GET history': {
        const id = pathname.split('/')[2] ?? '';
        return void json(this.history.has(id) ? { [id]: this.history.get(id) } : {});
      }
      case 'GET view': {
        const picture = this.pictures.get(searchParams.get('filename') ?? '');
        if (picture === undefined) return void response.writeHead(404).end();
        const preview = searchParams.get('preview');
        return void response.end(preview === null ? picture.bytes : converted(picture.bytes, preview));
      }
      case 'POST queue': {
        for (const id of (JSON.parse(text) as { delete: string[] }).delete) {
          this.deletions.push(id);
          const at = this.pending.findIndex((prompt) => prompt.id === id);
          if (at !== -1) this.pending.splice(at, 1);
        }
        return void response.end();
      }
      case 'POST interrupt': {
        const { prompt_id: id } = JSON.parse(text) as { prompt_id: string };
        this.interrupts.push(id);
        if (this.running?.id === id) {
          this.interrupted = true;
          this.paused?.();
        }
        return void response.end();
      }
      case 'POST prompt':
        return this.submit(text, json);
      default:
        return void response.writeHead(404).end();
    }
  }

  private submit(text: string, json: (value: unknown, status?: number) => unknown): void {
    const body = JSON.parse(text) as { prompt: SubmittedPrompt['graph']; client_id: string; prompt_id: string };
    const refuse = (type: string, message: string, nodeErrors: object = {}) =>
      void json({ error: { type, message, details: '', extra_info: {} }, node_errors: nodeErrors }, 400);
    if (!UUID.test(body.prompt_id)) return refuse('invalid_prompt_id', 'prompt_id must be a valid UUID');
    for (const [id, { class_type: kind, inputs }] of Object.entries(body.prompt)) {
      if (!CLASSES.includes(kind)) return refuse('missing_node_type', `Node '${kind}' not found.`);
      for (const value of Object.values(inputs))
        if (Array.isArray(value) && body.prompt[value[0] as string] === undefined)
          return refuse('bad_linked_input', `${id} leads nowhere`);
      if (kind === 'CheckpointLoaderSimple' && !CHECKPOINTS.includes(String(inputs['ckpt_name']))) {
        const details = `ckpt_name: '${String(inputs['ckpt_name'])}' not in ${JSON.stringify(CHECKPOINTS)}`;
        const error = { type: 'value_not_in_list', message: 'Value not in list', details, extra_info: {} };
        const errors = { [id]: { class_type: kind, dependent_outputs: [], errors: [error] } };
        return refuse('prompt_outputs_failed_validation', 'Prompt outputs failed validation', errors);
      }
    }
    const prompt = { id: body.prompt_id, clientId: body.client_id, graph: body.prompt, text };
    this.prompts.push(prompt);
    json({ prompt_id: prompt.id, number: this.numbers++, node_errors: {} });
    this.enqueue(prompt);
  }

  private enqueue(prompt: SubmittedPrompt): void {
    this.pending.push(prompt);
    if (this.running === null) void this.work();
  }

  private async work(): Promise<void> {
    for (;;) {
      const prompt = this.pending.shift() ?? null;
      this.running = prompt;
      if (prompt === null) return;
      const { generation } = this;
      this.interrupted = false;
      await this.execute(prompt);
      if (generation !== this.generation) return;
      this.running = null;
      this.send(prompt.clientId, 'executing', { node: null, prompt_id: prompt.id });
    }
  }

  private async execute({ id, clientId, graph }: SubmittedPrompt): Promise<void> {
    const { generation } = this;
    const messages: [string, object][] = [];
    const outputs: Record<string, unknown> = {};
    const tell = (event: string, data: object) => {
      messages.push([event, data]);
      this.send(clientId, event, data);
    };
    const end = (completed: boolean) =>
      this.history.set(id, {
        ...{ prompt: [0, id, graph, {}, []], outputs },
        status: { status_str: completed ? 'success' : 'error', completed, messages },
      });
    tell('execution_start', { prompt_id: id });
    tell('execution_cached', { nodes: [], prompt_id: id });
    for (const node of ordered(graph)) {
      const { class_type: kind } = graph[node]!;
      this.send(clientId, 'executing', { node, display_node: node, prompt_id: id });
      if (SAMPLERS.includes(kind)) await this.sample(id, clientId, graph, node);
      if (generation !== this.generation) return;
      const where = { prompt_id: id, node_id: node, node_type: kind, executed: [] };
      if (this.interrupted) {
        tell('execution_interrupted', where);
        return void end(false);
      }
      const { failure } = this;
      if (SAMPLERS.includes(kind) && failure !== null) {
        this.failure = null;
        tell('execution_error', { ...where, ...failure, traceback: ['  File "x.py"\n'], current_inputs: {} });
        return void end(false);
      }
      if (kind === 'PreviewImage') {
        const filename = `ComfyUI_temp_${randomUUID()}.png`;
        this.pictures.set(filename, { filename, bytes: this.drawn(graph) });
        outputs[node] = { images: [{ filename, subfolder: '', type: 'temp' }] };
        this.send(clientId, 'executed', { node, output: outputs[node], prompt_id: id });
      }
    }
    tell('execution_success', { prompt_id: id });
    end(true);
  }

  private async sample(id: string, client: string, graph: SubmittedPrompt['graph'], node: string): Promise<void> {
    const steps = stepsOf(graph);
    for (let step = 1; step <= steps && !this.interrupted && this.failure === null; step += 1) {
      const state = { value: step, max: steps, state: 'running', node_id: node, prompt_id: id };
      this.send(client, 'progress_state', { prompt_id: id, nodes: { [node]: state } });
      this.send(client, 'progress', { value: step, max: steps, prompt_id: id, node });
      this.sendPreview(client, Buffer.from(`frame ${step}`));
      if (step === this.pauseAtStep) {
        await new Promise<void>((resolve) => (this.paused = resolve));
        this.paused = null;
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  private drawn(graph: SubmittedPrompt['graph']): Buffer {
    const latent = Object.values(graph).find(({ class_type: kind }) => kind.startsWith('Empty'));
    const [width, height] = [Number(latent?.inputs['width'] ?? 64), Number(latent?.inputs['height'] ?? 64)];
    return this.draw?.(width, height) ?? pngOf(width, height, (x, y) => [x % 256, y % 256, 128]);
  }

  private send(client: string, type: string, data: object): void {
    this.sockets.get(client)?.send(JSON.stringify({ type, data }));
  }

  private sendPreview(client: string, data: Buffer): void {
    const header = Buffer.alloc(8);
    header.writeUInt32BE(1, 0);
    header.writeUInt32BE(1, 4);
    this.sockets.get(client)?.send(Buffer.concat([header, data]));
  }
}

const STATS = {
  system: { os: 'posix', comfyui_version: '0.9.1', pytorch_version: '2.9.0', python_version: '3.12.3', argv: [] },
  devices: [
    {
      ...{ name: 'cuda:0 a card', type: 'cuda', index: 0, vram_total: 24_000, vram_free: 20_000 },
      ...{ torch_vram_total: 3_000, torch_vram_free: 1_000 },
    },
  ],
};

/** Nodes that outputs need, each after those it needs. */
function ordered(graph: SubmittedPrompt['graph']): string[] {
  const done: string[] = [];
  const visit = (node: string) => {
    if (done.includes(node)) return;
    for (const value of Object.values(graph[node]!.inputs)) if (Array.isArray(value)) visit(String(value[0]));
    done.push(node);
  };
  const outputs = Object.keys(graph).filter((node) => graph[node]!.class_type === 'PreviewImage');
  for (const node of outputs.length > 0 ? outputs : Object.keys(graph)) visit(node);
  return done;
}

function stepsOf(graph: SubmittedPrompt['graph']): number {
  return Math.max(1, ...Object.values(graph).map(({ inputs }) => Number(inputs['steps'] ?? 0)));
}

/** Headers of the format that was asked for, with the size of the PNG. */
function converted(png: Buffer, preview: string): Buffer {
  const [width, height] = [png.readUInt32BE(16), png.readUInt32BE(20)];
  if (preview.startsWith('jpeg')) {
    const frame = Buffer.from('ffd8ffc0001108', 'hex');
    const size = Buffer.alloc(4);
    size.writeUInt16BE(height, 0);
    size.writeUInt16BE(width, 2);
    return Buffer.concat([frame, size, Buffer.from('03012200021101031101ffd9', 'hex')]);
  }
  const webp = Buffer.alloc(30);
  webp.write('RIFF', 0, 'latin1');
  webp.writeUInt32LE(22, 4);
  webp.write('WEBPVP8X', 8, 'latin1');
  webp.writeUInt32LE(10, 16);
  webp.writeUIntLE(width - 1, 24, 3);
  webp.writeUIntLE(height - 1, 27, 3);
  return webp;
}
