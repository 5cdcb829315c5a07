/** The turns of the event loop: where work waits for what else this turn brings. No clock is involved. */

/** Resolves when all promises that are settled now have been heard, and those settled by that, but before any more input. */
export function endOfTurn(): Promise<void> {
  return new Promise((resolve) => {
    process.nextTick(resolve)
  })
}
