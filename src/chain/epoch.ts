/** When permits change: an epoch begins at every block that `tempo` divides, on the devchain as its state machine has it. */

/** The first block after `block` at which the chain hands out permits. */
export function nextEpochBlock(tempo: number, block: number): number {
  return (Math.floor(block / tempo) + 1) * tempo
}
