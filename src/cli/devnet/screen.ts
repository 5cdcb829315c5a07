/** How the drill looks: numbered steps that tell their progress, then what came of them; NDJSON for programs. */
import { styleText } from 'node:util'
import type { Clock } from '../../base/clock.js'
import { formatDuration } from '../../base/units.js'
import { LiveLine } from '../live-line.js'
import { toJson } from '../output.js'

export interface ScreenInit {
  readonly json: boolean
}

/** What a finished step shows: lines for people, facts for programs. */
export interface StepResult<Facts> {
  readonly lines: readonly string[]
  readonly facts: Facts
}

/** Redraws the line of the running step; ignored without a terminal. */
export type Live = (text: string) => void

const NAME_COLUMNS = 9
/** Number, mark and name of a step, with a blank between them. */
const INDENT = ' '.repeat(5 + NAME_COLUMNS)
const LINE_COLUMNS = 80
/** The first line of a step leaves this much room for its duration. */
const DURATION_COLUMNS = 9

export class Screen {
  readonly json: boolean
  readonly #clock: Clock
  readonly #tty: boolean
  readonly #line = new LiveLine(process.stdout)
  #steps = 0

  constructor(clock: Clock, init: ScreenInit) {
    this.#clock = clock
    this.json = init.json
    this.#tty = process.stdout.isTTY && !init.json
  }

  /** Text for people only. */
  print(...lines: readonly string[]): void {
    if (!this.json) for (const line of lines) process.stdout.write(`${line}\n`)
  }

  bold(text: string): string {
    return this.#style('bold', text)
  }

  dim(text: string): string {
    return this.#style('dim', text)
  }

  /** Runs one step and shows it; a failure is shown and rethrown. */
  async step<Facts extends object>(
    name: string,
    work: (live: Live) => Promise<StepResult<Facts>>,
  ): Promise<Facts> {
    this.#steps += 1
    const startedMs = this.#clock.monotonicMs()
    const elapsed = () => this.#clock.monotonicMs() - startedMs
    const number = String(this.#steps).padStart(2)
    const head = (mark: string) => `${number} ${mark} ${name.padEnd(NAME_COLUMNS)}`
    const live: Live = (text) => {
      if (!this.json) this.#line.draw(`${head('·')}${text}`)
    }
    live('')
    try {
      const { lines, facts } = await work(live)
      this.#line.clear()
      if (this.json)
        process.stdout.write(
          `${toJson({ step: name, ok: true, elapsedMs: Math.round(elapsed()), ...facts })}\n`,
        )
      const [first = '', ...rest] = lines
      const duration = formatDuration(elapsed()).padStart(DURATION_COLUMNS)
      const room = LINE_COLUMNS - INDENT.length - DURATION_COLUMNS
      this.print(`${head(this.#style('green', '✓'))}${first.padEnd(room)}${this.dim(duration)}`)
      this.print(...rest.map((line) => INDENT + line))
      return facts
    } catch (error) {
      this.#line.clear()
      const reason = error instanceof Error ? error.message : String(error)
      if (this.json)
        process.stdout.write(
          `${toJson({ step: name, ok: false, elapsedMs: Math.round(elapsed()), reason })}\n`,
        )
      this.print(`${head(this.#style('red', '✗'))}${reason}`)
      throw error
    }
  }

  #style(format: 'bold' | 'dim' | 'green' | 'red', text: string): string {
    const isPlain = !this.#tty || (process.env.NO_COLOR ?? '') !== ''
    return isPlain ? text : styleText(format, text)
  }
}
