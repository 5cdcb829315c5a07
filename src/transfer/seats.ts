/** Who gets which chunk of a put that comes back, given what miners say they hold of it already. A pure function. */
import type { Placement } from '../redundancy/placement.js'

export interface Seating extends Placement {
  /** Chunks whose seat holds them already. */
  readonly held: ReadonlySet<number>
}

/**
 * Leaves each chunk with the one who has it, wherever in the plan that is; the others keep their holder if its seat is
 * still free, and take the next free one if not. Every seat of a plan may take any chunk, so the group cap holds.
 */
export function seatHeld(plan: Placement, holds: (candidate: number, chunk: number) => boolean): Seating {
  const free: (number | undefined)[] = [...plan.holders, ...plan.spares]
  const holders: (number | undefined)[] = plan.holders.map(() => undefined)
  const sit = (chunk: number, seat: number) => {
    if (holders[chunk] !== undefined || free[seat] === undefined) return
    holders[chunk] = free[seat]
    free[seat] = undefined
  }
  for (const [chunk, holder] of plan.holders.entries()) if (holds(holder, chunk)) sit(chunk, chunk)
  for (const chunk of holders.keys()) {
    sit(
      chunk,
      free.findIndex((candidate) => candidate !== undefined && holds(candidate, chunk)),
    )
  }
  const held = new Set([...holders.keys()].filter((chunk) => holders[chunk] !== undefined))
  for (const chunk of holders.keys()) sit(chunk, chunk)
  for (const chunk of holders.keys()) {
    sit(
      chunk,
      free.findIndex((candidate) => candidate !== undefined),
    )
  }
  // There are at least as many seats as chunks, so everybody sits.
  return { holders: holders as number[], spares: free.filter((candidate) => candidate !== undefined), held }
}
