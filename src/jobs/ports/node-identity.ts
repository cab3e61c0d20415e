/** Who this server is among those that share a store. */
export abstract class NodeIdentity {
  /** New at every start: what an earlier life claimed is not ours. */
  abstract readonly id: string;
  /** As in the settings; stays over restarts. */
  abstract readonly name: string;
}
