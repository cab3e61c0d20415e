import { generationRequest } from '../../../test/support/jobs.js';
import { modelDescription } from '../../../test/support/api.js';
import { planFor } from '../../domain/generation/execution-plan.js';
import type { ImageRef } from '../../domain/generation/image-ref.js';
import * as pb from '../../gen/safelight/worker/v1/worker.pb.js';
import { eventFromWire } from './mapping.js';
import { loadRequest, planToWire } from './plan-to-wire.js';

const CARD = { id: 'cuda:1', kind: 'cuda' as const, name: 'a card' };
const image = (sha256: string): ImageRef => ({ sha256, bytes: 9, media_type: 'image/png', width: 8, height: 8 });
const PLACEMENT = {
  stagingDir: '/staging',
  solo: false,
  resumeFrom: null,
  previewIntervalMs: 0,
  checkpointIntervalMs: 5_000,
  inputPath: ({ sha256 }: ImageRef) => `/inputs/${sha256}`,
};

/** As the worker reads it: through the bytes on the wire. */
function sent(request: Parameters<typeof generationRequest>[0], model: Parameters<typeof modelDescription>[0] = {}) {
  const plan = planFor({ id: 'job', request: generationRequest(request) }, 1, modelDescription(model), PLACEMENT);
  return pb.ExecutionPlan.decode(pb.ExecutionPlan.encode(planToWire(plan)).finish());
}

describe('a plan on the wire', () => {
  it('carries pictures, weights, memory and marks', () => {
    const wire = sent(
      {
        exact: true,
        output_format: 'mp4',
        output_quality: 70,
        num_frames: 16,
        true_cfg_scale: 4,
        init_image: image('init'),
        mask_image: image('mask'),
        mask_transparency: 'painted',
        strength: 0.5,
        controls: [{ id: 'canny', image: image('edges'), scale: 0.7, start: 0.25, end: 0.75 }],
        loras: [
          { id: 'ink', weight: -0.5 },
          { id: 'paper', weight: 1 },
        ],
        ip_adapter: { id: 'face', image: image('likeness'), scale: 0 },
      },
      {
        dtype: 'bfloat16',
        config: '/configs/sd15',
        quantization: { backend: 'torchao', options: { quant_type: 'int8wo', bits: 8 }, components: ['unet'] },
        compile: true,
        channelsLast: true,
        fuseProjections: true,
        loras: ['paper', 'ink'].map((id) => ({ id, source: `/loras/${id}` })),
        controlnets: [{ id: 'canny', source: '/controlnets/canny' }],
        ipAdapters: [{ id: 'face', source: '/ip/face' }],
        memory: {
          residency: { text_encoder: 'phase', unet: 'group_offload', vae: 'resident' },
          vaeSlicing: true,
          vaeTiling: 'aggressive',
          attentionSlicing: true,
        },
      },
    );
    expect(wire).toMatchObject({
      model: {
        dtype: 'bfloat16',
        config: '/configs/sd15',
        quantization: { backend: 'torchao', options: { quant_type: 'int8wo', bits: 8 }, components: ['unet'] },
        compile: true,
        channelsLast: true,
        fuseProjections: true,
      },
      sampling: { trueCfgScale: 4, numFrames: 16 },
      output: { format: pb.OutputFormat.OUTPUT_FORMAT_MP4, quality: 70 },
      batching: { solo: false, exact: true },
      inputs: {
        initImage: '/inputs/init',
        maskImage: '/inputs/mask',
        maskTransparencyPainted: true,
        strength: 0.5,
        controls: [
          { id: 'canny', source: '/controlnets/canny', image: '/inputs/edges', scale: 0.7, start: 0.25, end: 0.75 },
        ],
        ipAdapter: { id: 'face', source: '/ip/face', image: '/inputs/likeness', scale: 0 },
      },
      loras: [
        { id: 'ink', source: '/loras/ink', weight: -0.5 },
        { id: 'paper', source: '/loras/paper', weight: 1 },
      ],
      memory: {
        residency: {
          text_encoder: pb.Residency.RESIDENCY_PHASE,
          unet: pb.Residency.RESIDENCY_GROUP_OFFLOAD,
          vae: pb.Residency.RESIDENCY_RESIDENT,
        },
        vaeSlicing: true,
        vaeTiling: pb.Tiling.TILING_AGGRESSIVE,
        attentionSlicing: true,
      },
      checkpointing: { resumeFrom: '', intervalMs: 5_000 },
    });
  });

  it('is empty where nothing was asked for', () => {
    expect(sent({})).toMatchObject({
      model: { dtype: '', variant: '', config: '', quantization: undefined, compile: false },
      sampling: { trueCfgScale: 0, numFrames: 0 },
      batching: { solo: false, exact: false },
      output: { quality: 0 },
      inputs: {
        initImage: '',
        maskImage: '',
        maskTransparencyPainted: false,
        strength: 0,
        controls: [],
        ipAdapter: undefined,
      },
      loras: [],
      memory: { residency: {}, vaeSlicing: false, vaeTiling: pb.Tiling.TILING_UNSPECIFIED, attentionSlicing: false },
    });
  });
});

describe('a model to load on the wire', () => {
  const loaded = (model: Parameters<typeof modelDescription>[0]) =>
    pb.LoadModelRequest.decode(pb.LoadModelRequest.encode(loadRequest(modelDescription(model))).finish());

  it('carries how its weights go to the device, so that it never has to fit as a whole', () => {
    const memory = {
      residency: { text_encoder: 'phase', unet: 'group_offload' },
      vaeSlicing: true,
      vaeTiling: 'tiled',
      attentionSlicing: true,
    } as const;
    expect(loaded({ memory }).memory).toEqual({
      residency: {
        text_encoder: pb.Residency.RESIDENCY_PHASE,
        unet: pb.Residency.RESIDENCY_GROUP_OFFLOAD,
      },
      vaeSlicing: true,
      vaeTiling: pb.Tiling.TILING_TILED,
      attentionSlicing: true,
    });
  });

  it('goes as a whole where the settings decide nothing', () => {
    expect(loaded({}).memory).toEqual({
      residency: {},
      vaeSlicing: false,
      vaeTiling: pb.Tiling.TILING_UNSPECIFIED,
      attentionSlicing: false,
    });
  });

  it('tells how long it is to stay', () => {
    expect([null, 0, 60_000].map((keepAliveMs) => loaded({ keepAliveMs }).keepAliveMs)).toEqual([0, 1, 60_000]);
    expect([true, false].map((pinned) => loaded({ pinned }).pinned)).toEqual([true, false]);
  });
});

describe('an event of the wire', () => {
  const MARK = { fileName: 'checkpoint.safetensors', step: 7, sizeBytes: '123456' };
  const OURS = { fileName: 'checkpoint.safetensors', step: 7, bytes: 123_456 };
  const received = (event: pb.DeepPartial<pb.RunResponse>['event']) => {
    const response: pb.DeepPartial<pb.RunResponse> = { event };
    return eventFromWire(
      pb.RunResponse.decode(pb.RunResponse.encode(pb.RunResponse.fromPartial(response)).finish()),
      CARD,
    );
  };

  it('keeps checkpoints, wherever they come', () => {
    expect(received({ $case: 'checkpoint', value: MARK })).toEqual({ type: 'checkpoint', checkpoint: OURS });
    expect(received({ $case: 'suspended', value: { checkpoint: MARK } })).toEqual({
      type: 'suspended',
      checkpoint: OURS,
    });
    expect(received({ $case: 'suspended', value: {} })).toEqual({ type: 'suspended', checkpoint: null });
    const kind = pb.FailureKind.FAILURE_KIND_DEVICE_OUT_OF_MEMORY;
    expect(received({ $case: 'failure', value: { kind, checkpoint: MARK } })).toMatchObject({
      type: 'failed',
      failure: { kind: 'device_out_of_memory', checkpoint: OURS },
    });
    const without = received({ $case: 'failure', value: { kind } });
    expect(without?.type === 'failed' && 'checkpoint' in without.failure).toBe(false);
  });

  it('tells what was really run in the words of the API', () => {
    const effective = {
      device: 'cuda:0',
      exactRows: 4,
      resumedAtStep: 7,
      decodedInFloat32: true,
      memory: { residency: { unet: pb.Residency.RESIDENCY_PHASE }, vaeTiling: pb.Tiling.TILING_TILED },
    };
    expect(received({ $case: 'result', value: { effective } })).toMatchObject({
      effective: {
        device: 'cuda:1',
        exact_rows: 4,
        resumed_at_step: 7,
        decoded_in_float32: true,
        memory: { residency: { unet: 'phase' }, vae_slicing: false, vae_tiling: 'tiled', attention_slicing: false },
      },
    });
    expect(received({ $case: 'result', value: { effective: {} } })).toMatchObject({ effective: { memory: null } });
  });
});
