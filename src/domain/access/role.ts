/**
 * What a key may do. `user`: submit jobs, and see and cancel those of the same key. `monitor`: read the state of the server
 * (metrics, workers, node, settings), no job. `operator`: everything, all jobs among it.
 */
export const ROLES = ['user', 'monitor', 'operator'] as const;

export type Role = (typeof ROLES)[number];
