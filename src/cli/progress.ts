/** Progress of long work on stderr: one line redrawn on a terminal, NDJSON with `--progress json`, else nothing. */
import type { Clock } from '../base/clock.js'
import { formatBytes, formatDuration } from '../base/units.js'
import { LiveLine } from './live-line.js'
import { toJson } from './output.js'

export type ProgressMode = 'auto' | 'json' | 'off'

/** What a transfer reports as it goes. */
export interface TransferProgress {
  readonly doneBytes: number
  /** Absent when nobody knows, as for a pipe. */
  readonly totalBytes?: number
  readonly peers: number
  readonly retries: number
}

const REDRAW_MS = 100
const BAR_CELLS = 24
/** A bar with less says nothing. */
const BAR_CELLS_MIN = 4

export class ProgressLine {
  readonly #clock: Clock
  readonly #verb: string
  readonly #mode: 'line' | 'json' | 'off'
  readonly #startedMs: number
  readonly #live = new LiveLine(process.stderr)
  #drawnMs = Number.NEGATIVE_INFINITY

  constructor(clock: Clock, verb: string, mode: ProgressMode) {
    this.#clock = clock
    this.#verb = verb
    this.#mode = mode === 'auto' ? (this.#live.possible ? 'line' : 'off') : mode
    this.#startedMs = clock.monotonicMs()
  }

  update(progress: TransferProgress): void {
    const nowMs = this.#clock.monotonicMs()
    const complete = progress.doneBytes === progress.totalBytes
    if (this.#mode === 'off' || (nowMs - this.#drawnMs < REDRAW_MS && !complete)) return
    this.#drawnMs = nowMs
    const elapsedMs = Math.max(1, Math.round(nowMs - this.#startedMs))
    const bytesPerSecond = Math.round((progress.doneBytes / elapsedMs) * 1000)
    if (this.#mode === 'json') {
      process.stderr.write(`${toJson({ progress: { ...progress, elapsedMs, bytesPerSecond } })}\n`)
      return
    }
    this.#live.draw(progressText(this.#verb, progress, bytesPerSecond, this.#live.columns))
  }

  /** Leaves the terminal as it was. */
  end(): void {
    this.#live.clear()
  }
}

/** In `columns`, as far as that is possible: the bar gives way first. */
export function progressText(
  verb: string,
  progress: TransferProgress,
  bytesPerSecond: number,
  columns: number,
): string {
  const rate = `${formatBytes(bytesPerSecond)}/s`
  const tail = `${progress.peers} peers${progress.retries === 0 ? '' : `, ${progress.retries} retries`}`
  if (progress.totalBytes === undefined) return `${verb} ${formatBytes(progress.doneBytes)}  ${rate}  ${tail}`
  const share = progress.totalBytes === 0 ? 1 : progress.doneBytes / progress.totalBytes
  const leftMs = ((progress.totalBytes - progress.doneBytes) / Math.max(1, bytesPerSecond)) * 1000
  const text = `${Math.floor(share * 100)}%  ${rate}  ${formatDuration(leftMs)} left  ${tail}`
  const cells = Math.min(BAR_CELLS, columns - `${verb}  ${text}`.length)
  return cells < BAR_CELLS_MIN ? `${verb} ${text}` : `${verb} ${bar(share, cells)} ${text}`
}

/** A bar of `cells` characters with eighth steps. */
export function bar(share: number, cells: number): string {
  const eighths = Math.round(Math.min(1, Math.max(0, share)) * cells * 8)
  const full = Math.floor(eighths / 8)
  const rest = eighths % 8
  const partial = rest === 0 ? '' : String.fromCodePoint(0x2590 - rest)
  return '█'.repeat(full) + partial + '░'.repeat(cells - full - (partial === '' ? 0 : 1))
}
