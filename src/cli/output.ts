/** What a command prints: data on stdout, everything else on stderr, JSON for programs where asked. */
import { isSubnetError, SubnetError } from '../base/errors.js'
import { exitCodeOf } from './exit-codes.js'

export interface OutputInit {
  readonly json: boolean
  /** Show stacks. */
  readonly debug: boolean
}

export class Output {
  readonly json: boolean
  readonly #debug: boolean

  constructor(init: OutputInit) {
    this.json = init.json
    this.#debug = init.debug
  }

  /** One JSON document with `--json`, else the text for people; both to stdout. */
  result(value: unknown, text: string): void {
    process.stdout.write(this.json ? `${toJson(value)}\n` : `${text}\n`)
  }

  /** A remark for people; silent with `--json`. */
  note(text: string): void {
    if (!this.json) process.stderr.write(`${text}\n`)
  }

  /** The same on stderr, for what nobody waits for on stdout. */
  report(value: unknown, text: string): void {
    process.stderr.write(this.json ? `${toJson(value)}\n` : `${text}\n`)
  }

  /** Wrong words, for programs; people have read it from the parser of words. */
  usage(text: string): void {
    const message = text.replace(/^error: /, '')
    if (this.json) process.stderr.write(`${toJson({ error: { code: 'USAGE', message } })}\n`)
  }

  /** Code, what failed, and what to do; on stderr in both forms. */
  failure(error: unknown): void {
    const code = isSubnetError(error) ? error.code : 'INTERNAL'
    const message = error instanceof Error ? error.message : String(error)
    if (this.json) {
      const data = isSubnetError(error) ? error.data : {}
      process.stderr.write(`${toJson({ error: { code, message, ...data } })}\n`)
      return
    }
    process.stderr.write(`error ${code}: ${message}\n`)
    if (this.#debug && error instanceof Error) process.stderr.write(`${error.stack}\n`)
    for (let cause = causeOf(error); cause !== undefined; cause = causeOf(cause)) {
      const text = cause instanceof Error ? cause.message : String(cause)
      if (!message.includes(text)) process.stderr.write(`  because: ${text}\n`)
    }
  }
}

/**
 * A reader that goes away (`| head`) is no failure of ours: what it does not want is dropped. Any other failure to write
 * (a full disk behind `>`) ends the process, for nobody would miss the output.
 */
export function guardOutput(output: Output): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (cause: NodeJS.ErrnoException) => {
      if (cause.code === 'EPIPE') return
      const error = new SubnetError('DISK', `cannot write the output: ${cause.message}`)
      if (stream === process.stdout) output.failure(error)
      process.exit(exitCodeOf(error))
    })
  }
}

/** BigInts as decimal strings, bytes as hex. */
export function toJson(value: unknown): string {
  return JSON.stringify(value, (_key, field: unknown) => {
    if (typeof field === 'bigint') return field.toString()
    if (field instanceof Uint8Array) return Buffer.from(field).toString('hex')
    return field
  })
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined
}
