import type { PipelineFamily } from './pipeline-family.js';

/** Families of which there are ComfyUI workflows. */
export const COMFYUI_FAMILIES = ['sd15', 'sdxl', 'flux'] as const satisfies readonly PipelineFamily[];
export type ComfyUiFamily = (typeof COMFYUI_FAMILIES)[number];

export function hasComfyUiWorkflow(family: PipelineFamily): family is ComfyUiFamily {
  return (COMFYUI_FAMILIES as readonly PipelineFamily[]).includes(family);
}
