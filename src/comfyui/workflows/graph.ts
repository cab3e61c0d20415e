/** Output of a node, by its position. */
export type Link = readonly [node: string, output: number];

/** A whole number beyond what a JSON number of JavaScript holds, written digit by digit. */
export type ExactInteger = { readonly rawJSON: string };

export interface GraphNode {
  readonly class_type: string;
  readonly inputs: Readonly<Record<string, string | number | boolean | ExactInteger | Link>>;
}

/** What `POST /prompt` takes: ComfyUI's API format, nodes by ids that we choose. */
export type PromptGraph = Readonly<Record<string, GraphNode>>;

/** Graphs of different nodes as one. */
export function merged(graphs: readonly PromptGraph[]): PromptGraph {
  return Object.fromEntries(graphs.flatMap((graph) => Object.entries(graph)));
}

const { rawJSON } = JSON as unknown as { rawJSON(this: void, text: string): ExactInteger };

/** Seeds go up to 2^63-1. */
export function exactInteger(digits: string): ExactInteger {
  return rawJSON(digits);
}

/** ComfyUI reads parentheses as weights, diffusers as what they are. */
export function literalText(prompt: string): string {
  return prompt.replaceAll(/[()]/g, (parenthesis) => `\\${parenthesis}`);
}
