/** Two nodes of stock libp2p in processes of their own: what `transfer.ts` compares with. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { MIB } from '../src/base/units.js'
import { type Sample, sample } from './measure.js'

export class StockPeers {
  readonly #server: ChildProcess
  readonly #fetcher: ChildProcess
  readonly #address: string
  readonly #bytes: number

  private constructor(server: ChildProcess, fetcher: ChildProcess, address: string, bytes: number) {
    this.#server = server
    this.#fetcher = fetcher
    this.#address = address
    this.#bytes = bytes
  }

  static async start(chunks: number): Promise<StockPeers> {
    const [server, fetcher] = [peer('serve', String(chunks)), peer('fetch')]
    const [[address]] = await Promise.all([once(server, 'message'), once(fetcher, 'message')])
    return new StockPeers(server, fetcher, address as string, chunks * MIB)
  }

  /** All that the server sends, on a new stream. */
  async fetch(): Promise<Sample> {
    return await sample(async () => {
      this.#fetcher.send(this.#address)
      const [bytes] = await once(this.#fetcher, 'message')
      if (bytes !== this.#bytes) throw new Error(`the stock stream gave ${bytes} bytes`)
    }, [this.#server.pid ?? 0, this.#fetcher.pid ?? 0])
  }

  stop(): void {
    this.#server.disconnect()
    this.#fetcher.disconnect()
  }
}

function peer(...words: string[]): ChildProcess {
  return fork(fileURLToPath(new URL('stock-peer.js', import.meta.url)), words)
}
