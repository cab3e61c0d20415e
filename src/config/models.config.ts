import { configArea } from './config-area.js';
import { flag } from './kinds.js';
import { modelEntries } from './model-entries.js';
import { given } from './setting.js';

/** Id of the model that comes with the program. */
export const EMBEDDED_MODEL_ID = 'shapes';

export class ModelsConfig extends configArea({
  section: null,
  title: 'Models',
  about:
    'What is served. Serving downloads nothing: a model is a folder, a file, or a repository in the local cache of the hub.',
  fields: {
    entries: given(modelEntries, [], 'Models to serve, see below.', { key: 'models', env: false }),
    embedded: given(
      flag(),
      true,
      `Serve the small model that comes with the program, under the id \`${EMBEDDED_MODEL_ID}\`.`,
      {
        key: 'embedded_model',
      },
    ),
  },
  rules: [
    {
      field: 'entries',
      holds: ({ entries, embedded }) =>
        !embedded || entries.every(({ id, aliases }) => ![id, ...aliases].includes(EMBEDDED_MODEL_ID)),
      allowed: `a list without the id or alias ${EMBEDDED_MODEL_ID} while embedded_model is true`,
    },
    {
      field: 'entries',
      holds: ({ entries, embedded }) => embedded || entries.length > 0,
      allowed: 'at least one model while embedded_model is false',
    },
  ],
}) {}
