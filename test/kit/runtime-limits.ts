/** Which conformance tests an old runtime cannot pass, and what it did instead: facts of `opentensor/subtensor`. */

/** Test titles and reasons; empty for the runtime the adapter is written for. */
export function olderThan(_spec: number): Readonly<Record<string, string>> {
  return {}
}
