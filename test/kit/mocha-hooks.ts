/**
 * What mocha does not notice by itself, most of all in its workers, which it ends with all they have: a file fails that
 * leaves a timer, a socket, a server, a thread or a child process behind, or in which a rejection is handled by nobody. And
 * mocha does not end well before its run does, as it may when a worker has crashed.
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

/** What was rejected and handled by nobody; mocha looks away from it. */
let unhandled: string[] = []
let title = 'no test'

function note(reason: unknown): void {
  unhandled.push(`during "${title}": ${reason instanceof Error ? reason.stack : String(reason)}`)
}

/** In a worker for each file, else once. */
export const mochaHooks = {
  beforeAll(): void {
    unhandled = []
    process.on('unhandledRejection', note)
  },

  beforeEach(this: Mocha.Context): void {
    title = this.currentTest?.fullTitle() ?? title
  },

  async afterAll(this: Mocha.Context): Promise<void> {
    // Mocha's own timer for this hook would be found.
    this.timeout(0)
    const endMs = systemClock.monotonicMs() + CLOSING_MS
    while (left().length > 0 && systemClock.monotonicMs() < endMs) await systemClock.sleep(10)
    process.off('unhandledRejection', note)
    const file = this.test?.parent?.suites[0]?.file ?? 'a file without tests'
    const kinds = left()
    if (kinds.length > 0) throw new Error(`${file} leaves behind: ${kinds.join(', ')}`)
    if (unhandled.length > 0) throw new Error(`handled by nobody in ${file}: ${unhandled.join('; ')}`)
  },
}

let running = false

/** These two are not called in workers. */
export function mochaGlobalSetup(): void {
  running = true
  process.once('exit', () => {
    if (!running) return
    console.error('mocha has ended before its run: a worker crashed')
    process.exitCode = 1
  })
}

export function mochaGlobalTeardown(): void {
  running = false
}
