/**
 * When epochs step: both rules that runtimes have used. An adapter picks the one its runtime follows and says the
 * result in `Metagraph.nextEpochBlock`; nobody else computes with a tempo.
 */

/**
 * With a stored anchor, as runtimes with dynamic tempo (spec 425: `should_run_epoch`, `LastEpochBlock`) and the devchain
 * have it: an epoch is `tempo` blocks long. The first block after `block` with a step.
 */
export function nextAnchoredEpochBlock(lastEpochBlock: number, tempo: number, block: number): number {
  const passed = Math.max(0, Math.floor((block - lastEpochBlock) / tempo))
  return lastEpochBlock + (passed + 1) * tempo
}

/**
 * Older runtimes (spec 381: `get_epoch_index`): a new epoch wherever `(block + netuid + 1) % (tempo + 1) === 0`. The
 * first such block after `block`. They step one block before it (`blocks_until_next_epoch`): at it, its effect shows.
 */
export function nextModularEpochBlock(netuid: number, tempo: number, block: number): number {
  return (modularEpoch(netuid, tempo, block) + 1) * (tempo + 1) - (netuid + 1)
}

/** The epoch's index on those runtimes (`get_epoch_index`). */
export function modularEpoch(netuid: number, tempo: number, block: number): number {
  return Math.floor((block + netuid + 1) / (tempo + 1))
}
