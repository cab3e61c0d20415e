import { pictureName, readPictureName } from './picture-name.js';

describe('the name of a picture', () => {
  const JOB = '0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b';

  it('holds all of its path', () => {
    expect(readPictureName(pictureName(`/v1/jobs/${JOB}/artifacts/3`))).toEqual({ jobId: JOB, index: '3', query: '' });
    const signed = `/v1/jobs/${JOB}/artifacts/0?expires=1700000000&signature=a-b_C`;
    expect(readPictureName(pictureName(signed))).toEqual({
      jobId: JOB,
      index: '0',
      query: '?expires=1700000000&signature=a-b_C',
    });
  });

  it.each(['img1.png', `${JOB}.png`, `${JOB}_x.png`, `${JOB}_0_1.png`, '../../etc/passwd', `${JOB}_0.jpg`])(
    '%s is none',
    (name) => {
      expect(readPictureName(name)).toBeNull();
    },
  );
});
