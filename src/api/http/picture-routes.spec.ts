import { JSON_CONTROLLERS } from '../api.module.js';
import { PictureRoutes } from './picture-routes.js';

describe('the routes whose JSON holds pictures', () => {
  const routes = new PictureRoutes(JSON_CONTROLLERS);

  it('are those that say so', () => {
    expect([...routes.paths].sort()).toEqual([
      '/sdapi/v1/img2img',
      '/sdapi/v1/png-info',
      '/sdapi/v1/txt2img',
      '/v1/jobs',
      '/v1/jobs/batch',
    ]);
  });

  it.each(['/v1/jobs', '/v1/jobs/', '/v1/jobs?a=/b', '/V1/Jobs/?a=b', '/v1/jobs/batch'])('are found by %s', (url) => {
    expect(routes.includes(url)).toBe(true);
  });

  it.each(['', '/', '/v1/jobs/batch/x', '/v1/jobs/0190/cancel', '/v1/images/generations', '/x?/v1/jobs'])(
    'are not found by %s',
    (url) => {
      expect(routes.includes(url)).toBe(false);
    },
  );
});
