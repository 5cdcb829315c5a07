/**
 * @polkadot/api, loaded when a real chain is first spoken to, and the WebSocket class its `WsProvider` runs on: the
 * library makes its sockets itself and has no option for what can go wrong with one. Nothing here knows what is said.
 */
import { WebSocket } from 'ws'
import { SubnetError } from '../../base/errors.js'

/** Metadata in hex is 1 MiB, a full block a few; more is a defect or an attack. */
const REPLY_BYTES_MAX = 64 * 2 ** 20

let library: Promise<typeof import('@polkadot/api')> | undefined

/** 0.7 s of one core and 60 MiB, which only a real chain is worth. */
export function loadPolkadot(): Promise<typeof import('@polkadot/api')> {
  library ??= load()
  return library
}

/** The library takes its WebSocket class from `globalThis` once, when its `x-ws` is first imported: then it finds ours. */
async function load() {
  const before = Object.getOwnPropertyDescriptor(globalThis, 'WebSocket')
  Object.defineProperty(globalThis, 'WebSocket', { value: GuardedWebSocket, configurable: true })
  try {
    await import('@polkadot/x-ws')
  } finally {
    Reflect.deleteProperty(globalThis, 'WebSocket')
    if (before !== undefined) Object.defineProperty(globalThis, 'WebSocket', before)
  }
  return import('@polkadot/api')
}

export class GuardedWebSocket extends WebSocket {
  static #made: GuardedWebSocket | undefined
  /** Why this side ended it, if it did. */
  endedBy: string | undefined

  constructor(address: string | URL, protocols?: string | string[]) {
    super(address, protocols, { maxPayload: REPLY_BYTES_MAX, perMessageDeflate: false })
    GuardedWebSocket.#made = this
  }

  /** The socket that `connect` makes before it first waits. Throws `CONFIG` when the library was loaded without `loadPolkadot`. */
  static madeBy(connect: () => Promise<void>): GuardedWebSocket {
    GuardedWebSocket.#made = undefined
    // It rejects when it could make no socket, and then there is none here either.
    connect().catch(() => undefined)
    const made = GuardedWebSocket.#made
    GuardedWebSocket.#made = undefined
    if (made !== undefined) return made
    const text = 'this process loaded @polkadot/api before the chain did: connect the chain first'
    throw new SubnetError('CONFIG', text)
  }

  /** The library reads JSON in a listener: what is none would be thrown at nobody and end the process. */
  override emit(event: string | symbol, ...args: unknown[]): boolean {
    try {
      return super.emit(event, ...args)
    } catch {
      this.end('sent something else than JSON-RPC')
      return true
    }
  }

  /** At once: `close` waits for the peer's goodbye, half a minute and more from one that is gone. */
  end(reason: string): void {
    this.endedBy ??= reason
    this.terminate()
  }
}
