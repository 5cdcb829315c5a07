/** Two Helia nodes in processes of their own, on the Node that `bench/helia` brings along: what `transfer.ts` compares with. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type Sample, sample } from './measure.js'

const FOLDER = fileURLToPath(new URL('../../bench/helia/', import.meta.url))
const NODE = `${FOLDER}node_modules/.bin/node`

/** After `npm ci --prefix bench/helia`. */
export function heliaInstalled(): boolean {
  return existsSync(NODE)
}

export class HeliaPeers {
  readonly #server: ChildProcess
  /** Address and block names, as the server tells the fetcher. */
  readonly #served: object

  private constructor(server: ChildProcess, served: object) {
    this.#server = server
    this.#served = served
  }

  static async start(blocks: number): Promise<HeliaPeers> {
    const server = peer('serve', String(blocks))
    const [served] = (await once(server, 'message')) as [object]
    return new HeliaPeers(server, served)
  }

  /** All blocks into a new node; its start and its dial are not counted. */
  async fetch(): Promise<Sample> {
    const fetcher = peer('fetch')
    fetcher.send(this.#served)
    await once(fetcher, 'message')
    try {
      return await sample(async () => {
        fetcher.send({ go: true })
        await once(fetcher, 'message')
      }, [this.#server.pid ?? 0, fetcher.pid ?? 0])
    } finally {
      fetcher.disconnect()
    }
  }

  stop(): void {
    this.#server.disconnect()
  }
}

function peer(...words: string[]): ChildProcess {
  return fork(`${FOLDER}peer.mjs`, words, { execPath: NODE, execArgv: [] })
}
