/**
 * Mocha's hook after each file in a worker, or after all of them in one process: a test that leaves a timer, a socket, a
 * server, a thread or a child process behind fails its file. Workers are ended with all they have, so nothing else would tell.
 */
import { getActiveResourcesInfo } from 'node:process'
import { systemClock } from '../../src/base/clock.js'

/** Ten times what the slowest takes to close after its test has ended. */
const CLOSING_MS = 5_000
/** Not of any test: the streams and the channel of the process itself, and work of libuv that ends by itself. */
const OWN: ReadonlySet<string> = new Set([
  'PipeWrap',
  'TTYWrap',
  'FSReqCallback',
  'FSReqPromise',
  'Immediate',
])

/** They are no resources of the list that node gives. */
let threads = 0
process.on('worker', (worker) => {
  threads += 1
  worker.once('exit', () => {
    threads -= 1
  })
})

/** Kinds of what would keep this process from ending. */
function left(): readonly string[] {
  const resources = getActiveResourcesInfo().filter((kind) => !OWN.has(kind))
  return [...resources, ...Array<string>(threads).fill('Worker')]
}

export const mochaHooks = {
  async afterAll(this: Mocha.Context): Promise<void> {
    // Mocha's own timer for this hook would be found.
    this.timeout(0)
    const endMs = systemClock.monotonicMs() + CLOSING_MS
    for (;;) {
      const kinds = left()
      if (kinds.length === 0) return
      if (systemClock.monotonicMs() > endMs) {
        const file = this.test?.parent?.suites[0]?.file ?? 'a file without tests'
        throw new Error(`${file} leaves behind: ${kinds.join(', ')}`)
      }
      await systemClock.sleep(10)
    }
  },
}
