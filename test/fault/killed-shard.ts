/** What the killed process and the test that checks its disk agree on. */

/** Small files, so that many are made, emptied and deleted in a short life. */
export const KILLED_SHARD = { bodyFileBytes: 200_000 }

export function killedSize(seed: number): number {
  return 1 + ((seed * 7_919) % 30_000)
}
