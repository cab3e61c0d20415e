import { expect, it } from '@jest/globals';

import type { Terminal } from '../terminal.js';
import type { ModelFacts } from './model-event.js';
import { modelCheck, modelTable } from './model-tables.js';
import { barLine, PullDisplay } from './pull-display.js';
import type { ServedModel } from './served-models.js';
import { chooseModels } from './served-models.js';

const MIB = 1024 ** 2;
const model = (changes: Partial<ServedModel>): ServedModel => ({
  id: 'sd',
  source: '/m/sd',
  config: null,
  family: null,
  dtype: null,
  variant: null,
  quantization: null,
  ...changes,
});
const facts = (changes: Partial<ModelFacts>): ModelFacts => ({
  id: 'sd',
  source: '/m/sd',
  kind: 'folder',
  pipeline_class: 'StableDiffusionPipeline',
  present: true,
  bytes: 3 * MIB,
  components: [],
  problems: [],
  ...changes,
});
const AWAY = { kind: null, pipeline_class: null, present: false, bytes: null };

it('lists models one a line, and tells below why one is missing', () => {
  const models = [model({ dtype: 'float16' }), model({ id: 'far', family: 'flux' })];
  const found = [facts({ kind: 'single_file' }), facts({ id: 'far', ...AWAY, problems: ['it is not there'] })];
  expect(modelTable(models, found).split('\n')).toEqual([
    'ID   FAMILY  SOURCE       CLASS                    DTYPE    WEIGHTS  STATE',
    'sd   sd15    single file  StableDiffusionPipeline  float16  3.0 MiB  present',
    'far  flux    –            –                        auto     –        missing',
    '',
    'far: it is not there',
  ]);
});

it('tells what the headers say, and all that stands against loading', () => {
  const unet = { name: 'unet', class: 'UNet2DConditionModel', files: 2, bytes: 3 * MIB };
  const components = [{ ...unet, dtypes: { float16: 2 * MIB, float32: MIB } }];
  expect(modelCheck(facts({ components })).split('\n')).toEqual([
    'ok    sd  StableDiffusionPipeline, 3.0 MiB at /m/sd',
    '      unet  UNet2DConditionModel  2.0 MiB float16, 1.0 MiB float32 in 2 files',
  ]);
  expect(modelCheck(facts({ ...AWAY, problems: ['one', 'two'] })).split('\n')).toEqual([
    'fail  sd  not found at /m/sd',
    '      → one',
    '      → two',
  ]);
});

it('chooses models by id, and says which there are when one is unknown', () => {
  const models = [model({}), model({ id: 'xl' })];
  expect(chooseModels(models, []).map(({ id }) => id)).toEqual(['sd', 'xl']);
  expect(chooseModels(models, ['xl']).map(({ id }) => id)).toEqual(['xl']);
  expect(() => chooseModels(models, ['xl', 'xll'])).toThrow('The settings have no model xll.');
});

function terminal(columns: number | null) {
  const lines: string[] = [];
  const drawn: string[] = [];
  const spoken: Terminal = {
    env: {},
    cwd: '/',
    out: (text) => void lines.push(text),
    err: (text) => void lines.push(text),
    draw: (bytes) => void drawn.push(bytes),
    columns: () => columns,
    unicode: false,
  };
  return { spoken, lines, drawn };
}

it('draws a bar over one line of a terminal and leaves the line clean', () => {
  const { spoken, lines, drawn } = terminal(60);
  const display = new PullDisplay(spoken, 'owner/name');
  display.show({ file: 'unet/weights.safetensors', done: MIB, total: 4 * MIB });
  display.close();
  display.close();
  expect(drawn).toEqual(['\r\u001B[2K######------------------   25 %  1.0 MiB of 4.0 MiB  unet/…', '\r\u001B[2K']);
  expect(lines).toEqual([]);
  expect(barLine({ file: 'a', done: 0, total: 0 }, { columns: 80, unicode: true })).toContain('100 %');
});

it('writes a line for every tenth where nobody watches', () => {
  const { spoken, lines, drawn } = terminal(null);
  const display = new PullDisplay(spoken, 'owner/name');
  for (let done = 0; done <= 100; done += 1) display.show({ file: 'a', done, total: 100 });
  display.close();
  expect(lines).toHaveLength(11);
  expect(lines.slice(0, 2)).toEqual([
    'fetching owner/name: 0 %, 0 B of 100 B',
    'fetching owner/name: 10 %, 10 B of 100 B',
  ]);
  expect(drawn).toEqual([]);
});
