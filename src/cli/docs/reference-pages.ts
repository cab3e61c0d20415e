import { errorReferencePage } from '../../api/http/error-reference.js';
import { configurationPage } from '../../config/reference-page.js';
import { metricsPage } from '../../metrics/reference-page.js';

/** A page that is made from the code, so that the two cannot disagree. */
export interface ReferencePage {
  /** Relative to the repository. */
  readonly path: string;
  readonly render: () => string;
}

/** A new page is one line here. */
export const REFERENCE_PAGES: readonly ReferencePage[] = [
  { path: 'docs/configuration.md', render: configurationPage },
  { path: 'docs/errors.md', render: errorReferencePage },
  { path: 'docs/metrics.md', render: metricsPage },
];
