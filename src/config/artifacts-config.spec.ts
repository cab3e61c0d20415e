import { ConfigError } from './config-error.js';
import { loadSettings } from './load-settings.js';
import { configurationPage } from './reference-page.js';

const SECRET = 'never-to-be-seen';

function load(env: Record<string, string>) {
  return loadSettings({ cwd: '/nowhere', env, homeDir: '/home/ada', hostName: 'box' });
}

function refusalOf(env: Record<string, string>): string {
  try {
    load(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  throw new Error('the settings were expected to be refused');
}

describe('the settings of artifacts', () => {
  it('keep pictures in a folder unless a bucket is named', () => {
    const { artifacts } = load({});
    expect(artifacts).toEqual({
      s3Bucket: null,
      s3Prefix: null,
      s3Endpoint: null,
      s3Region: 'us-east-1',
      s3AccessKeyId: null,
      s3SecretAccessKey: null,
      s3ForcePathStyle: false,
    });
  });

  it('take a bucket, its region from where AWS has it, and paths for a server that is not AWS', () => {
    const bucket = { SAFELIGHT_ARTIFACTS_S3_BUCKET: 'pictures' };
    expect(load({ ...bucket, AWS_DEFAULT_REGION: 'eu-west-3' }).artifacts).toMatchObject({ s3Region: 'eu-west-3' });
    const elsewhere = { ...bucket, SAFELIGHT_ARTIFACTS_S3_ENDPOINT: 'http://minio:9000', AWS_REGION: 'eu-west-3' };
    const { artifacts, warnings } = load({ ...elsewhere, SAFELIGHT_ARTIFACTS_DIR: '/srv/pictures' });
    expect(artifacts).toMatchObject({ s3Bucket: 'pictures', s3Region: 'eu-west-3', s3ForcePathStyle: true });
    expect(warnings).toEqual([]);
    const hosted = load({ ...elsewhere, SAFELIGHT_ARTIFACTS_S3_FORCE_PATH_STYLE: 'no' });
    expect(hosted.artifacts.s3ForcePathStyle).toBe(false);
  });

  it.each([
    ['S3_BUCKET', 'Capital_Letters', 'the name of a bucket'],
    ['S3_PREFIX', '/absolute', 'single slashes between them'],
    ['S3_PREFIX', 'a/../b', 'single slashes between them'],
    ['S3_ENDPOINT', 'minio:9000', 'with http:// or https://'],
    ['S3_ENDPOINT', 'http://user:password@minio', 'without user and password'],
    ['S3_REGION', 'Europe!', 'the name of a region'],
  ])('refuse %s=%s', (name, value, allowed) => {
    const refusal = refusalOf({ SAFELIGHT_ARTIFACTS_S3_BUCKET: 'pictures', [`SAFELIGHT_ARTIFACTS_${name}`]: value });
    expect(refusal).toContain(allowed);
  });

  it('refuse half a key, and what belongs to a bucket that is not named', () => {
    const half = { SAFELIGHT_ARTIFACTS_S3_BUCKET: 'pictures', SAFELIGHT_ARTIFACTS_S3_ACCESS_KEY_ID: 'AKIA' };
    expect(refusalOf(half)).toContain('given together with artifacts.s3_secret_access_key');
    expect(refusalOf({ SAFELIGHT_ARTIFACTS_S3_PREFIX: 'a' })).toContain('the name of a bucket while other settings');
  });

  it('never show the secret, not even one that cannot be', () => {
    const env = { SAFELIGHT_ARTIFACTS_S3_BUCKET: 'pictures', SAFELIGHT_ARTIFACTS_S3_ACCESS_KEY_ID: 'AKIA' };
    const given = load({ ...env, SAFELIGHT_ARTIFACTS_S3_SECRET_ACCESS_KEY: SECRET });
    expect(given.artifacts.s3SecretAccessKey).toBe(SECRET);
    expect(JSON.stringify(given.sources)).not.toContain(SECRET);
    const refusal = refusalOf({ ...env, SAFELIGHT_ARTIFACTS_S3_SECRET_ACCESS_KEY: `${SECRET} and more` });
    expect(refusal).toContain('artifacts.s3_secret_access_key is (not shown)');
    expect(refusal).not.toContain(SECRET);
    expect(refusalOf({ SAFELIGHT_ARTIFACTS_S3_SECRET_ACCESS_KEY: SECRET })).not.toContain(SECRET);
  });

  it('stand in the reference page', () => {
    expect(configurationPage()).toContain('| `artifacts.s3_secret_access_key` |');
  });
});
