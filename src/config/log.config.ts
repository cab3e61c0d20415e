import { configArea } from './config-area.js';
import { choice } from './kinds.js';
import { given } from './setting.js';

export class LogConfig extends configArea({
  section: 'log',
  title: 'Log',
  about: 'What is logged.',
  fields: {
    level: given(
      choice(['trace', 'debug', 'info', 'warn', 'error', 'silent']),
      'info',
      'Least important level that is logged.',
    ),
  },
}) {}
