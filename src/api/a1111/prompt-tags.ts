import type { FieldProblem, LoraInput } from '../../jobs/submit/generation-input.js';

/** A tag of an extra network as AUTOMATIC1111 reads them (modules/extra_networks.py). */
const TAG = /<(lora|lyco|hypernet):([^<>]{1,300})>/gi;

/** Tags that are read of one prompt, as many as a native request may have LoRAs; of a prompt's length nothing is known here. */
const MAX_TAGS = 16;

/** What a prompt asks for beside its words. */
interface TaggedPrompt {
  /** Without the tags. */
  readonly text: string;
  readonly loras: readonly LoraInput[];
  readonly problems: readonly FieldProblem[];
}

/** Takes `<lora:NAME:WEIGHT>` out of a prompt; without a weight it is 1. Every other word stays as it is. */
export function readPromptTags(prompt: string): TaggedPrompt {
  const loras: LoraInput[] = [];
  const problems: FieldProblem[] = [];
  for (const [tag, kind = '', inside = ''] of prompt.matchAll(TAG)) {
    if (loras.length + problems.length === MAX_TAGS) return tooMany(prompt, tag);
    const read = kind.toLowerCase() === 'hypernet' ? 'there are no hypernetworks here' : readLora(inside);
    if (typeof read === 'string')
      problems.push({ field: 'prompt', message: read, value: tag, limit: '<lora:NAME:WEIGHT>' });
    else loras.push(read);
  }
  return { text: loras.length + problems.length === 0 ? prompt : prompt.replaceAll(TAG, '').trim(), loras, problems };
}

function tooMany(prompt: string, tag: string): TaggedPrompt {
  const message = `must hold at most ${MAX_TAGS} tags`;
  return {
    text: prompt,
    loras: [],
    problems: [{ field: 'prompt', message, value: tag, limit: { max_tags: MAX_TAGS } }],
  };
}

/** The tag of a LoRA, in the form {@link readPromptTags} reads. */
export function loraTag({ id, weight = 1 }: LoraInput): string {
  return `<lora:${id}:${weight}>`;
}

/** What is wrong, in words, when it cannot be done. */
function readLora(inside: string): LoraInput | string {
  const parts = inside.split(':').map((part) => part.trim());
  const named = new Map(
    parts.filter((part) => part.includes('=')).map((part) => part.split('=', 2) as [string, string]),
  );
  const [id = '', ...positional] = parts.filter((part) => !part.includes('='));
  const textEncoder = named.get('te') ?? positional[0];
  const denoiser = named.get('unet') ?? positional[1] ?? textEncoder;
  if (positional[2] !== undefined || named.has('dyn')) return 'a LoRA cannot be given another rank';
  const weight = Number(textEncoder ?? 1);
  if (id === '' || textEncoder === '' || Number.isNaN(weight)) return 'is no tag of a LoRA';
  if (Number(denoiser ?? weight) !== weight) return 'a LoRA has one weight for text encoder and denoiser';
  return { id, weight };
}
