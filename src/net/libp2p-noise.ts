/**
 * Noise on sockets that take a message at once. libp2p's TCP connection writes each part of an encrypted message (length,
 * header, body, tag) with a system call of its own, and each becomes a packet that wakes the peer: four for 64 KiB, where
 * one does. Found with a profiler: half of a sender's time went there.
 */
import type { Socket } from 'node:net'
import { noise } from '@chainsafe/libp2p-noise'
import type { ConnectionEncrypter, MessageStream } from '@libp2p/interface'
import { release } from '../base/release.js'
import { endOfTurn } from '../base/turn.js'
import { KIB } from '../base/units.js'

/**
 * Ciphertext so long is freed once the kernel has it: Noise made it, and nobody else has it. Left to the collector, tens of
 * MiB of it gather. Smaller parts are not worth the call.
 */
const RELEASED_BYTES_MIN = 16 * KIB

/** What `@libp2p/tcp`'s connection is inside: its socket, and how its base class has bytes sent. */
interface TcpConnection extends MessageStream {
  readonly socket?: Socket
  sendData(bytes: Iterable<Uint8Array> & { readonly byteLength: number }): {
    sentBytes: number
    canSendMore: boolean
  }
}

type Noise = ReturnType<typeof noise>
type NoiseComponents = Parameters<Noise>[0]

export function batchedNoise(): (components: NoiseComponents) => ConnectionEncrypter {
  const create = noise()
  return (components) => {
    const encrypter = create(components)
    // All of it but the two methods: libp2p also reads what it says it is capable of.
    return Object.assign(Object.create(encrypter) as ConnectionEncrypter, {
      secureOutbound: ((connection, options) =>
        encrypter.secureOutbound(batched(connection), options)) as ConnectionEncrypter['secureOutbound'],
      secureInbound: ((connection, options) =>
        encrypter.secureInbound(batched(connection), options)) as ConnectionEncrypter['secureInbound'],
    })
  }
}

/**
 * What is sent in one turn goes to the kernel together, and at once when it is enough for a packet of its own. A connection
 * without a socket stays as it is.
 */
function batched(connection: MessageStream): MessageStream {
  const tcp = connection as TcpConnection
  const { socket } = tcp
  if (socket === undefined) return connection
  let isHeld = false
  let isDue = false
  const letGo = () => {
    if (isHeld) socket.uncork()
    isHeld = false
  }
  const letGoInTime = async () => {
    isDue = true
    await endOfTurn()
    isDue = false
    letGo()
  }
  tcp.sendData = (bytes) => {
    if (!isHeld) socket.cork()
    isHeld = true
    for (const part of bytes) {
      if (part.length < RELEASED_BYTES_MIN) socket.write(part)
      else {
        socket.write(part, (error) => {
          // Of a write that failed the kernel may still read.
          if (!error) release(part)
        })
      }
    }
    if (socket.writableLength >= socket.writableHighWaterMark) letGo()
    else if (!isDue) void letGoInTime()
    // What the kernel took in this very call is not in the way of the next send.
    return { sentBytes: bytes.byteLength, canSendMore: socket.writableLength < socket.writableHighWaterMark }
  }
  return connection
}
