/**
 * SIGINT and SIGTERM as an abort: the first asks for a clean end, the second does not wait for it. A child of `devnet`
 * is also asked to end when its parent is gone, however that died.
 */
import { setMaxListeners } from 'node:events'
import { SubnetError } from '../base/errors.js'
import { EXIT_INTERRUPTED } from './exit-codes.js'

export function interruptSignal(): AbortSignal {
  const controller = new AbortController()
  setMaxListeners(0, controller.signal)
  const onSignal = (name: NodeJS.Signals) => {
    if (controller.signal.aborted) process.exit(EXIT_INTERRUPTED)
    controller.abort(new SubnetError('STOPPED', `${name} received`))
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  if (process.send !== undefined) {
    const onOrphaned = () => controller.abort(new SubnetError('STOPPED', 'the parent process has ended'))
    process.once('disconnect', onOrphaned)
    if (!process.connected) onOrphaned()
  }
  return controller.signal
}

/** Resolves when the signal aborts. */
export function whenAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
