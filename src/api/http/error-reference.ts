import { FAILURE_KINDS, REACTIONS } from '../../domain/failure/failure-kind.js';
import { ERROR_CODES, ERRORS } from './error-codes.js';
import { FAILURE_STATUS } from './failure-status.js';

const INTRODUCTION = `<!-- Generated from src/api/http/error-codes.ts; do not edit. -->

# Errors

Every answer with a status of 400 or above is a document of type \`application/problem+json\` (RFC 9457) with the members
\`type\`, \`title\`, \`status\`, \`detail\`, \`instance\`, \`code\` and \`errors\`. Branch on \`code\`: the words below are stable.
\`errors\` lists fields at fault as \`{field, message, value, limit}\`; it is empty when no field is.
`;

const FAILURES = `## Failures of jobs

A job that was accepted and then failed is no HTTP error: it is answered with 200, and \`failure.kind\` says why. The status is
what an answer carries that has nothing but the failure to tell.
`;

/** The reference page of all errors, as Markdown. */
export function errorReferencePage(): string {
  const codes = ERROR_CODES.map((code) => {
    const { status, title, meaning } = ERRORS[code];
    return `### ${code}\n\n${status}. ${title}.\n\n${meaning}\n`;
  });
  const failures = FAILURE_KINDS.map(
    (kind) => `| \`${kind}\` | ${REACTIONS[kind].disposition} | ${FAILURE_STATUS[kind]} |`,
  );
  const table = ['| Kind | What is done about it | Status |', '| --- | --- | --- |', ...failures].join('\n');
  return [INTRODUCTION, '## Codes\n', ...codes, FAILURES, `${table}\n`].join('\n');
}
