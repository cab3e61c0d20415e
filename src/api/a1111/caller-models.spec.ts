import { modelDescription } from '../../../test/support/api.js';
import { NO_LIMITS } from '../../domain/access/caller.js';
import type { ModelCatalog } from '../../jobs/ports/model-catalog.port.js';
import { CallerModels } from './caller-models.js';

const MODELS = ['one', 'two'].map((id) => modelDescription({ id }));
const CATALOG: ModelCatalog = {
  list: () => MODELS,
  find: (id) => MODELS.find((model) => model.id === id) ?? null,
  default: () => MODELS[0]!,
};
const caller = (client: string) => ({ client, role: 'user', limits: NO_LIMITS }) as const;

describe('the model of a caller', () => {
  it('is the default until another is chosen, for this caller only', () => {
    const models = new CallerModels(CATALOG);
    models.choose(caller('ada'), MODELS[1]!);
    expect(models.modelOf(caller('ada')).id).toBe('two');
    expect(models.modelOf(caller('bob')).id).toBe('one');
  });

  it('is forgotten when a thousand others have chosen since', () => {
    const models = new CallerModels(CATALOG);
    models.choose(caller('ada'), MODELS[1]!);
    models.choose(caller('bob'), MODELS[1]!);
    for (let index = 0; index < 998; index += 1) models.choose(caller(`client ${index}`), MODELS[1]!);
    models.choose(caller('ada'), MODELS[1]!);
    models.choose(caller('one more'), MODELS[1]!);
    expect(models.modelOf(caller('ada')).id).toBe('two');
    expect(models.modelOf(caller('bob')).id).toBe('one');
  });
});
