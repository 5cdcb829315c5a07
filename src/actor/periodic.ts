/** An actor that does one thing again and again, with a pause after each time. Asks nothing and is asked nothing. */
import type { Behavior } from './behavior.js'

export type PeriodicMessage =
  /** What its own timer says. */
  { readonly type: 'go' }

export interface PeriodicInit {
  /** Before the first time, also of an incarnation after a crash. */
  readonly firstPauseMs: number
  /** Resolves with the pause before the next time. */
  readonly run: (signal: AbortSignal) => Promise<number>
  /** The same after a run that failed. */
  readonly onFailure: (error: unknown) => number
}

type PrivateMessage = { readonly type: 'done'; readonly pauseMs: number }

export function periodic({ firstPauseMs, run, onFailure }: PeriodicInit): Behavior<PeriodicMessage> {
  const behavior: Behavior<PeriodicMessage | PrivateMessage, null> = {
    start: (context) => {
      context.after(firstPauseMs, { type: 'go' })
      return null
    },
    receive(_state, message, context) {
      if (message.type === 'done') {
        context.after(message.pauseMs, { type: 'go' })
        return
      }
      context.task(run, (outcome) => ({
        type: 'done',
        pauseMs: outcome.ok ? outcome.value : onFailure(outcome.error),
      }))
    },
  }
  return behavior
}
