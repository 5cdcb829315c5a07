/** The line of a terminal that is drawn again and again: always within the terminal, or what wraps would stay behind. */
import type { WriteStream } from 'node:tty'

const CLEAR = '\r\u001b[2K'
/** Of a terminal that does not say how wide it is. */
const COLUMNS = 80

export type Terminal = Pick<WriteStream, 'write' | 'isTTY' | 'columns'>

export class LiveLine {
  readonly #terminal: Terminal
  #drawn = false

  constructor(terminal: Terminal) {
    this.#terminal = terminal
  }

  /** False where nothing can be drawn again: a file, a pipe. */
  get possible(): boolean {
    return this.#terminal.isTTY
  }

  /** Room for text; the last column stays free, where some terminals wrap already. */
  get columns(): number {
    return (this.#terminal.columns || COLUMNS) - 1
  }

  /** Text without colours, cut where the terminal ends. */
  draw(text: string): void {
    if (!this.possible) return
    this.#drawn = true
    this.#terminal.write(`${CLEAR}${[...text].slice(0, this.columns).join('')}`)
  }

  /** Leaves the terminal as it was. */
  clear(): void {
    if (this.#drawn) this.#terminal.write(CLEAR)
    this.#drawn = false
  }
}
