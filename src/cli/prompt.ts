/** Asking the person at the terminal. Questions go to stderr, so that stdout stays what the command prints. */
import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { SubnetError } from '../base/errors.js'

export interface PromptStreams {
  readonly input: NodeJS.ReadableStream & { readonly isTTY?: boolean }
  readonly output: NodeJS.WritableStream & { readonly isTTY?: boolean }
}

export class Prompt {
  readonly #streams: PromptStreams

  constructor(streams: PromptStreams = { input: process.stdin, output: process.stderr }) {
    this.#streams = streams
  }

  /** Is there somebody to ask? */
  get interactive(): boolean {
    return this.#streams.input.isTTY === true && this.#streams.output.isTTY === true
  }

  /** Nothing but "y" or "yes" is a yes. */
  async confirm(question: string): Promise<boolean> {
    return /^y(es)?$/i.test((await this.#ask(`${question} [y/N] `, false)).trim())
  }

  /** What is typed is not shown. */
  async secret(question: string): Promise<string> {
    return await this.#ask(`${question}: `, true)
  }

  /** Rejects with `STOPPED` at Ctrl-C and at the end of the input. */
  async #ask(question: string, hidden: boolean): Promise<string> {
    const { input, output } = this.#streams
    // readline echoes into its output; a secret's goes nowhere.
    const echo = hidden ? new Writable({ write: (_chunk, _encoding, done) => done() }) : output
    output.write(question)
    const lines = createInterface({ input, output: echo, terminal: hidden })
    try {
      return await new Promise<string>((resolve, reject) => {
        const stopped = () => reject(new SubnetError('STOPPED', 'no answer was given: nothing was done'))
        lines.once('line', resolve)
        lines.once('SIGINT', stopped)
        lines.once('close', stopped)
      })
    } finally {
      lines.close()
      if (hidden) output.write('\n')
    }
  }
}
