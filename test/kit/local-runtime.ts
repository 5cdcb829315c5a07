/**
 * A chain that runs the real runtime and takes orders: Chopsticks, which makes a block when told and lets storage be
 * written. Recipe: docs/guides/local-runtime.md. The product never speaks this part of the RPC.
 */
import { systemClock } from '../../src/base/clock.js'
import { NodeSocket, RpcRefusal } from '../../src/chain/subtensor/node-socket.js'
import { until } from './until.js'

/** Storage as Chopsticks takes it: pallet, item, then one value or pairs of keys and value. */
export type StorageValues = Readonly<Record<string, Readonly<Record<string, unknown>>>>

const GENESIS_MS = 1_750_000_000_000

export class LocalRuntime implements AsyncDisposable {
  readonly #socket: NodeSocket

  private constructor(socket: NodeSocket) {
    this.#socket = socket
  }

  static async open(url: string): Promise<LocalRuntime> {
    const components = { clock: systemClock, onPush: () => undefined }
    return new LocalRuntime(await NodeSocket.open(components, { url, callTimeoutMs: 60_000 }))
  }

  /** False for a node that is not ours to command. */
  async isOurs(): Promise<boolean> {
    const { methods } = (await this.#socket.call('rpc_methods', [])) as { methods: string[] }
    return methods.includes('dev_newBlock')
  }

  async specVersion(): Promise<number> {
    const { specVersion } = (await this.#socket.call('state_getRuntimeVersion', [])) as {
      specVersion: number
    }
    return specVersion
  }

  async head(): Promise<string> {
    return (await this.#socket.call('chain_getBlockHash', [])) as string
  }

  async newBlocks(count = 1): Promise<void> {
    await this.#socket.call('dev_newBlock', [{ count }])
  }

  /** Back to block 1 and on from there, so that each test finds what the one before found. */
  async rewind(): Promise<void> {
    if ((await this.#socket.call('chain_getBlockHash', [1])) === null) {
      // Without a time in its genesis Chopsticks asks the clock twice for one block, and may get two answers.
      await this.put({ Timestamp: { Now: GENESIS_MS } })
      await until(
        async () => {
          await this.newBlocks()
          return (await this.#socket.call('chain_getBlockHash', [1])) !== null
        },
        { deadlineMs: 60_000, title: 'a first block' },
      )
    }
    await this.#socket.call('dev_setHead', [await this.#socket.call('chain_getBlockHash', [1])])
    // What is put goes into the head: block 1 must stay as it is.
    await this.newBlocks()
  }

  /**
   * Values as @polkadot/types takes them: `{ System: { Account: [[[address], { … }]] } }`. Zero and false must be given
   * in SCALE as hex, Chopsticks takes them for "remove it". Items that this runtime has not are left out.
   */
  async put(values: StorageValues): Promise<void> {
    for (const [pallet, items] of Object.entries(values)) {
      for (const [item, value] of Object.entries(items)) {
        try {
          await this.#socket.call('dev_setStorage', [{ [pallet]: { [item]: value } }])
        } catch (error) {
          if (
            error instanceof RpcRefusal &&
            `${error.message} ${error.detail}`.includes('Cannot find storage')
          )
            continue
          throw error
        }
      }
    }
  }

  /** How many transactions wait. */
  async waiting(): Promise<number> {
    return ((await this.#socket.call('author_pendingExtrinsics', [])) as unknown[]).length
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.terminate('the test is over')
  }
}
