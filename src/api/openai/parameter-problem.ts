import type { FieldProblem } from '../../jobs/submit/generation-input.js';
import { Problem } from '../http/problem.js';

export type ParameterCode = 'invalid_value' | 'missing_required_parameter' | 'model_not_found' | 'unknown_parameter';

/** A problem of a request, by the parameter's name in OpenAI's API. */
export interface ParameterFault extends FieldProblem {
  readonly code: ParameterCode;
}

/** Faults that are told in one sentence; whoever has more has one mistake, not many. */
const MAX_TOLD = 5;

/** A request that cannot be served as it is: 400, which is where clients of this dialect look for it, not 422. */
export class ParameterProblem extends Problem {
  constructor(readonly faults: readonly ParameterFault[]) {
    const told = faults.slice(0, MAX_TOLD).map(({ field, message }) => `${field}: ${message}`);
    const more = faults.length > MAX_TOLD ? `; and ${faults.length - MAX_TOLD} more` : '';
    super('invalid_request', `${told.join('; ')}${more}`, { errors: faults });
  }

  override get status(): number {
    return 400;
  }
}

/** Native fields by the parameter that led to them; every other one has the same name. */
const PARAMETERS: Readonly<Record<string, string>> = {
  width: 'size',
  height: 'size',
  num_images: 'n',
  init_image: 'image',
  mask_image: 'mask',
  output_quality: 'output_compression',
};

const NATIVE_NAMES = new RegExp(`\\b(?:${Object.keys(PARAMETERS).join('|')})\\b`, 'g');

/** Models that are named to who asked for another one. */
const MAX_MODELS = 10;

/** What a native check found, in the words of this dialect. */
export function parameterFault({ field, message, value, limit }: FieldProblem): ParameterFault {
  if (field === 'model') {
    const known = Array.isArray(limit) ? `; there is ${limit.slice(0, MAX_MODELS).join(', ')}` : '';
    return { field, message: message + known, value, limit, code: 'model_not_found' };
  }
  const side = field === 'width' || field === 'height' ? `its ${field} ` : '';
  return {
    field: PARAMETERS[field] ?? field,
    message: side + message.replaceAll(NATIVE_NAMES, (name) => (side === '' ? (PARAMETERS[name] ?? name) : name)),
    value,
    limit,
    code: 'invalid_value',
  };
}

/** The parameter a native field comes from. */
export function parameterOf(field: string): string {
  return PARAMETERS[field] ?? field;
}
