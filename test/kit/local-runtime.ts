/**
 * A chain that runs the real runtime and takes orders: Chopsticks, which makes a block when told and lets storage be
 * written. Recipe: docs/guides/local-runtime.md. The product never speaks this part of the RPC.
 */
import { systemClock } from '../../src/base/clock.js'
import { NodeSocket } from '../../src/chain/subtensor/node-socket.js'

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

  async newBlocks(count = 1): Promise<void> {
    await this.#socket.call('dev_newBlock', [{ count }])
  }

  /** Values as @polkadot/types takes them: `{ System: { Account: [[[address], { … }]] } }`. */
  async put(values: Readonly<Record<string, unknown>>): Promise<void> {
    await this.#socket.call('dev_setStorage', [values])
  }

  /** How many transactions wait. */
  async waiting(): Promise<number> {
    return ((await this.#socket.call('author_pendingExtrinsics', [])) as unknown[]).length
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.terminate('the test is over')
  }
}
