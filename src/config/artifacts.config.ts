import { configArea } from './config-area.js';
import { flag, orNull, text } from './kinds.js';
import { derived, given } from './setting.js';

export class ArtifactsConfig extends configArea({
  section: 'artifacts',
  title: 'Artifacts',
  about:
    'Where pictures, the pictures jobs start from and checkpoints are kept: in the folder `artifacts_dir`, which nodes may share, or in a bucket of any server that speaks the S3 protocol.',
  fields: {
    s3Bucket: given(
      orNull(
        text({
          pattern: /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/,
          allowed: 'the name of a bucket: 3 to 63 small letters, digits, dots and dashes',
        }),
      ),
      null,
      'Bucket to keep artifacts in; it must be there. Null keeps them in the folder `artifacts_dir`.',
    ),
    s3Prefix: given(
      orNull(
        text({
          pattern: /^(?=.{1,200}$)[A-Za-z0-9][A-Za-z0-9._-]*(\/[A-Za-z0-9][A-Za-z0-9._-]*)*$/,
          allowed: 'up to 200 letters, digits, dots, dashes and underscores, with single slashes between them',
        }),
      ),
      null,
      'Prefix of every key, without a slash at its end, for a bucket that holds other things too. Null: none.',
    ),
    s3Endpoint: given(
      orNull(
        text({
          pattern: /^https?:\/\/[^\s/@?#]+(\/[^\s@?#]*)?$/,
          allowed: 'the address of a server, with http:// or https:// and without user and password',
        }),
      ),
      null,
      'Server of the bucket, when it is not AWS. Null takes that of the region (or `AWS_ENDPOINT_URL_S3`).',
    ),
    s3Region: derived(
      text({ pattern: /^[a-z0-9-]{1,64}$/, allowed: 'the name of a region, such as eu-central-1' }),
      {
        text: '`$AWS_REGION`, else `$AWS_DEFAULT_REGION`, else `us-east-1`',
        of: ({ env }) => env['AWS_REGION'] || env['AWS_DEFAULT_REGION'] || 'us-east-1',
      },
      'Region of the bucket; servers other than AWS mostly take any.',
    ),
    s3AccessKeyId: given(
      orNull(text({ pattern: /^\S{1,200}$/, allowed: 'the id of an access key' })),
      null,
      'Access key. Null takes the usual sources: `AWS_ACCESS_KEY_ID` and its kin, the shared credentials file, the role of the machine.',
    ),
    s3SecretAccessKey: given(
      orNull(text({ pattern: /^\S{1,200}$/, allowed: 'the secret of an access key' })),
      null,
      'Secret of the access key. Never shown.',
      { secret: true },
    ),
    s3ForcePathStyle: derived(
      flag(),
      { text: '`true` with `artifacts.s3_endpoint`, else `false`', of: ({ known }) => known['s3Endpoint'] !== null },
      'Name the bucket in the path of an address rather than in its host, as most servers other than AWS want it.',
    ),
  },
  rules: [
    {
      field: 's3Bucket',
      holds: ({ s3Bucket, s3Prefix, s3Endpoint, s3AccessKeyId, s3SecretAccessKey }) =>
        s3Bucket !== null ||
        [s3Prefix, s3Endpoint, s3AccessKeyId, s3SecretAccessKey].every((setting) => setting === null),
      allowed: 'the name of a bucket while other settings of it are given',
    },
    {
      field: 's3AccessKeyId',
      holds: ({ s3AccessKeyId, s3SecretAccessKey }) => (s3AccessKeyId === null) === (s3SecretAccessKey === null),
      allowed: 'given together with artifacts.s3_secret_access_key, or neither of them',
    },
  ],
}) {}
