import type { ControlInput, FieldProblem } from '../../jobs/submit/generation-input.js';
import { Picture, PictureUrl } from '../../jobs/submit/picture.js';
import { isObject, knownFields, readFields } from '../http/read-fields.js';
import { ControlUnit } from './dto/control-unit.js';
import { withoutHash } from './model-names.js';
import type { Size } from './proportions.js';
import { hasOtherProportions } from './proportions.js';

/** Scripts and units that are looked at, most of which clients send switched off. */
const MAX_SCRIPTS = 64;
const MAX_UNITS = 32;

/** Each is a model of its own that runs at every step. */
const MAX_CONTROLS = 8;

const FIELD = 'alwayson_scripts';

interface ReadControls {
  readonly controls: readonly ControlInput[];
  readonly problems: readonly FieldProblem[];
}

/** The units of the ControlNet extension as controls; every other script has to be off. `size`: that of the result. */
export function readControls(scripts: Readonly<Record<string, unknown>>, size: Size): ReadControls {
  const controls: ControlInput[] = [];
  const problems: FieldProblem[] = [];
  const named = Object.entries(scripts);
  if (named.length > MAX_SCRIPTS) return alone(tooMany(FIELD, named.length, MAX_SCRIPTS));
  for (const [script, given] of named) {
    const field = `${FIELD}.${script.slice(0, 80).toWellFormed()}`;
    const args = isObject(given) && Array.isArray(given['args']) ? (given['args'] as unknown[]) : [];
    if (script.toLowerCase() !== 'controlnet') {
      if (!args.every(isOff))
        problems.push({ field, message: 'there is no such script here', value: script, limit: ['controlnet'] });
      continue;
    }
    if (args.length > MAX_UNITS) return alone(tooMany(`${field}.args`, args.length, MAX_UNITS));
    for (const [index, arg] of args.entries()) {
      const unit = readUnit(`${field}.args[${index}]`, arg, size);
      problems.push(...unit.problems);
      controls.push(...unit.controls);
    }
  }
  if (controls.length > MAX_CONTROLS) problems.push(tooMany(FIELD, controls.length, MAX_CONTROLS));
  return { controls, problems };
}

function tooMany(field: string, value: number, max: number): FieldProblem {
  return { field, message: `must have at most ${max} entries`, value, limit: { max_entries: max } };
}

function readUnit(field: string, given: unknown, size: Size): ReadControls {
  if (isOff(given)) return { controls: [], problems: [] };
  if (!isObject(given)) return alone({ field, message: 'must be an object', value: given, limit: { type: 'object' } });
  const { shape } = ControlUnit;
  const { fields, problems } = readFields(shape, knownFields(shape, given), `${field}.`);
  const { enabled = true, weight = 1, model } = fields;
  if (!enabled || weight === 0) return { controls: [], problems: [] };
  if (problems.length > 0) return { controls: [], problems };
  const image = pictureOf(fields);
  const found = unitProblems(field, fields, image, size);
  if (found.length > 0 || image === null) return { controls: [], problems: found };
  const { guidance_start: start, guidance_end: end } = fields;
  const id = withoutHash(model ?? '');
  const range = { ...(start !== undefined && { start }), ...(end !== undefined && { end }) };
  return { controls: [{ id, image, scale: weight, ...range }], problems: [] };
}

type Fields = Partial<ControlUnit>;

function unitProblems(field: string, unit: Fields, image: Picture | PictureUrl | null, size: Size): FieldProblem[] {
  const { module = 'none', mask, control_mode: mode = 0, resize_mode: resize = 0 } = unit;
  const problems: FieldProblem[] = [];
  const add = (name: string, message: string, value: unknown, limit: unknown) =>
    problems.push({ field: `${field}.${name}`, message, value, limit });
  if (image === null) add('image', 'is missing: the picture to follow', null, { type: 'base64' });
  if (!/^(?:none)?$/i.test(module)) add('module', 'pictures are not prepared here; send one that is', module, ['none']);
  if (mask !== undefined) add('mask', 'a ControlNet follows the whole picture', mask, { absent: true });
  if (mode !== 0 && mode !== 'Balanced') add('control_mode', 'both weigh the same here', mode, [0, 'Balanced']);
  const stretches = resize === 0 || resize === 'Just Resize';
  if (!stretches && image !== null && hasOtherProportions(image, size))
    add('resize_mode', 'the picture has other proportions than the result, and is stretched only', resize, [
      0,
      'Just Resize',
    ]);
  return problems;
}

function pictureOf({ image, input_image: inputImage }: Fields): Picture | PictureUrl | null {
  if (image instanceof Picture || image instanceof PictureUrl) return image;
  return image?.image ?? inputImage ?? null;
}

/** What clients send of a script that is there and does nothing. */
function isOff(arg: unknown): boolean {
  if (isObject(arg)) return arg['enabled'] === false;
  return arg === null || arg === false || arg === '' || arg === 0;
}

function alone(problem: FieldProblem): ReadControls {
  return { controls: [], problems: [problem] };
}
