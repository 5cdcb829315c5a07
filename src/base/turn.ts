/** The event loop's turns: where work lets others run, or waits for what else this turn brings. No clock is involved. */

/** Resolves in the next turn, when everything that is ready now has had its say. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}
