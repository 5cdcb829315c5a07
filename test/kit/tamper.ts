/**
 * Nodes that misbehave on the wire: what a node serves is wrapped at the `Net` port while it starts, so that production
 * code has no switch for it. `tampered` says for which node.
 */
import '../../src/base/platform.js'
import { AsyncLocalStorage } from 'node:async_hooks'
import { CAPACITY, capacityAskSchema } from '../../protocols/capacity/messages.js'
import { FrameStream } from '../../protocols/common/frames.js'
import { systemClock } from '../../src/base/clock.js'
import type { Duplex } from '../../src/net/duplex.js'
import { Libp2pNet } from '../../src/net/libp2p-net.js'
import type { ProtocolLimits, StreamHandler } from '../../src/net/net.js'

/** Replaces the handler of a protocol, or returns the one it got. */
export type Tamper = (protocol: string, handler: StreamHandler) => StreamHandler

const current = new AsyncLocalStorage<Tamper>()
const honest = Libp2pNet.prototype.handle
Libp2pNet.prototype.handle = function handle(limits: ProtocolLimits, handler: StreamHandler): void {
  honest.call(this, limits, current.getStore()?.(limits.id, handler) ?? handler)
}

/** Runs `start`; every handler that a node registers in it goes through `tamper`. */
export function tampered<T>(tamper: Tamper, start: () => Promise<T>): Promise<T> {
  return current.run(tamper, start)
}

/** A node whose bodies are not what it says they are. */
export interface Liar {
  readonly tamper: Tamper
  /** Bodies it has falsified. */
  readonly lies: number
}

/** Flips a bit in bodies of at least so many bytes, sent under `protocol`; headers stay what they are. */
export function liar(protocol: string, fromBytes = 0): Liar {
  let lies = 0
  return {
    tamper: onBodies(protocol, async (bytes, write) => {
      if (bytes.length < fromBytes) return await write(bytes)
      lies += 1
      const changed = Uint8Array.from(bytes)
      changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1
      await write(changed)
    }),
    get lies() {
      return lies
    },
  }
}

/** A node that stops in the middle of an answer. */
export interface Staller {
  readonly tamper: Tamper
  /** Bodies it owes somebody. */
  readonly stalls: number
  /** Lets go of what is stuck, so that the node can be stopped. */
  release(): void
}

/** Sends the header of every answer under `protocol` and never its body. */
export function staller(protocol: string): Staller {
  let stalls = 0
  const stuck = new AbortController()
  return {
    tamper: onBodies(protocol, () => {
      stalls += 1
      return new Promise((_, reject) => {
        stuck.signal.addEventListener('abort', () => reject(new Error('the staller was released')))
      })
    }),
    get stalls() {
      return stalls
    },
    release: () => stuck.abort(),
  }
}

/** Takes streams under `protocol` and never says a word. */
export function mute(protocol: string): Staller {
  let stalls = 0
  const stuck = new AbortController()
  const never = () => {
    stalls += 1
    return new Promise<void>((resolve) => stuck.signal.addEventListener('abort', () => resolve()))
  }
  return {
    tamper: (id, handler) => (id.includes(`/${protocol}/`) ? never : handler),
    get stalls() {
      return stalls
    },
    release: () => stuck.abort(),
  }
}

/** Claims so much free space whenever it is asked for its capacity. */
export function boaster(freeBytes: number): Tamper {
  return (id, handler) => {
    if (!id.includes(`/${CAPACITY.name}/`)) return handler
    return async (duplex) => {
      const frames = new FrameStream(duplex, systemClock, CAPACITY)
      await frames.readMessage(capacityAskSchema, 'ask')
      const claim = { budgetBytes: freeBytes, heldBytes: 0, heldChunks: 0, freeBytes }
      await frames.writeMessage({ type: 'capacity', ...claim })
    }
  }
}

type BodyWriter = (bytes: Uint8Array, write: (bytes: Uint8Array) => Promise<void>) => Promise<void>

function onBodies(protocol: string, send: BodyWriter): Tamper {
  return (id, handler) => {
    if (!id.includes(`/${protocol}/`)) return handler
    return (duplex) =>
      handler(
        withWrite(duplex, (bytes, options) =>
          isHeader(bytes)
            ? duplex.write(bytes, options)
            : send(bytes, (changed) => duplex.write(changed, options)),
        ),
      )
  }
}

/** As `protocols/common/frames.ts` writes it: the length, then that many bytes. */
function isHeader(bytes: Uint8Array): boolean {
  return bytes.length > 4 && Buffer.from(bytes).readUInt32BE() === bytes.length - 4
}

function withWrite(duplex: Duplex, write: Duplex['write']): Duplex {
  return {
    remotePeer: duplex.remotePeer,
    read: (options) => duplex.read(options),
    write,
    drained: (options) => duplex.drained(options),
    closeWrite: (options) => duplex.closeWrite(options),
    abort: (reason) => duplex.abort(reason),
  }
}
