import { configArea } from './config-area.js';
import { choice, flag } from './kinds.js';
import { given } from './setting.js';

export class LogConfig extends configArea({
  section: 'log',
  title: 'Log',
  about:
    'What is logged: JSON, one line a record, on stderr. A line about a job has its `job`, one about an attempt its `attempt` too.',
  fields: {
    level: given(
      choice(['trace', 'debug', 'info', 'warn', 'error', 'silent']),
      'info',
      'Least important level that is logged.',
    ),
    requests: given(
      flag(),
      true,
      'Whether each HTTP request is logged once it is answered. Those for health and metrics are at level debug.',
    ),
    prompts: given(
      choice(['hidden', 'shown']),
      'hidden',
      'Whether texts of prompts may stand in log lines, of this program and of its workers, and in debug records. Logs are kept longer, and seen by more people, than jobs are; who may see a job reads its prompt in the job.',
    ),
  },
}) {}

/** What becomes of prompts in the log. */
export type PromptsInLog = LogConfig['prompts'];
