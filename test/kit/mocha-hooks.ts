/**
 * What mocha does not notice by itself, most of all in its workers, which it ends with all they have: a file fails that
 * leaves a timer, a socket, a server, a thread or a child process behind, or in which a rejection is handled by nobody. And
 * mocha does not end well before its run does, as it may when a worker has crashed.
 */
import { getActiveResourcesInfo } from 'node:process'
import { systemClock } from '../../src/base/clock.js'

/** Ten times what the slowest takes to close after its test has ended. */
const CLOSING_MS = 5_000
/** Not of any test: the streams and the channel of the process itself. */
const OWN: ReadonlySet<string> = new Set(['PipeWrap', 'TTYWrap'])

/** They are no resources of the list that node gives. */
let threads = 0
process.on('worker', (worker) => {
  threads += 1
  worker.once('exit', () => {
    threads -= 1
  })
})

/** Kinds of what would keep this process from ending, asked by a hook that mocha waits for. */
function active(): string[] {
  const resources = getActiveResourcesInfo().filter((kind) => !OWN.has(kind))
  // The deadline of the hook.
  resources.splice(resources.indexOf('Timeout'), 1)
  return [...resources, ...Array<string>(threads).fill('Worker')]
}

/** Left by files before this one in the same worker: it is told only once. */
let known: readonly string[] = []

function left(): readonly string[] {
  const kinds = active()
  for (const kind of known) {
    const at = kinds.indexOf(kind)
    if (at >= 0) kinds.splice(at, 1)
  }
  return kinds
}

/** What was rejected and handled by nobody, and when; mocha looks away from it. */
const unhandled = new Map<unknown, string>()
let title = 'no test'

function note(reason: unknown): void {
  unhandled.set(reason, `during "${title}": ${reason instanceof Error ? reason.stack : String(reason)}`)
}

/** In a worker for each file, else once. */
export const mochaHooks = {
  beforeAll(): void {
    unhandled.clear()
    process.on('unhandledRejection', note)
  },

  beforeEach(this: Mocha.Context): void {
    title = this.currentTest?.fullTitle() ?? title
  },

  async afterAll(this: Mocha.Context): Promise<void> {
    const endMs = systemClock.monotonicMs() + CLOSING_MS
    // Mocha sets its deadline when it has been given the promise.
    do await systemClock.sleep(10)
    while (left().length > 0 && systemClock.monotonicMs() < endMs)
    process.off('unhandledRejection', note)
    const file = this.test?.parent?.suites[0]?.file ?? 'a file without tests'
    const kinds = left()
    known = active()
    if (kinds.length > 0) throw new Error(`${file} leaves behind: ${kinds.join(', ')}`)
    if (unhandled.size > 0)
      throw new Error(`handled by nobody in ${file}: ${[...unhandled.values()].join('; ')}`)
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
