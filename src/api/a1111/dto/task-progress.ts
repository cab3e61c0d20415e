import { z } from 'zod';

import { text } from '../../rest/dto/field-types.js';
import { boolean, given, integer } from './lenient-types.js';

export const TaskProgressFields = z.object({
  id_task: given(text()).describe('`force_task_id` of the request.'),
  live_preview: boolean.describe('Absent: true.'),
  id_live_preview: integer.describe('That of the frame the client has: the same is not sent again.'),
});
