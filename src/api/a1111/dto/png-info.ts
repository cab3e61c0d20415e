import { z } from 'zod';

import { image } from '../../rest/dto/image-field.js';

export const PngInfoFields = z.object({ image: image('The picture to read.') });
