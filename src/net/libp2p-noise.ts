/**
 * Noise without what costs more than its ciphers. libp2p's TCP connection writes each part of an encrypted message (length,
 * header, body, tag) with a system call of its own, and each becomes a packet that wakes the peer: four for 64 KiB, where
 * one does. The noise package copies each message that it opens. Both found with a profiler; what is on the line is the same.
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

/** A list of bytes as libp2p hands it on. */
interface ByteList {
  readonly byteLength: number
  append(bytes: unknown): void
  consume(lengthBytes: number): void
  get(index: number): number
  sublist(start: number, end: number): ByteList
}

/** What `@chainsafe/libp2p-noise`'s connection is inside: how it cuts its input into messages, and opens one. */
interface NoiseConnection extends MessageStream {
  readonly decoder: { readonly buffer: ByteList; decode(bytes: unknown): Iterable<ByteList> }
  readonly handshake: { decrypt(ciphertext: ByteList): unknown }
  decrypt(message: ByteList): unknown
}

type Noise = ReturnType<typeof noise>
type NoiseComponents = Parameters<Noise>[0]

const LENGTH_BYTES = 2
const TAG_BYTES = 16

export function batchedNoise(): (components: NoiseComponents) => ConnectionEncrypter {
  const create = noise()
  return (components) => {
    const encrypter = create(components)
    // All of it but the two methods: libp2p also reads what it says it is capable of.
    return Object.assign(Object.create(encrypter) as ConnectionEncrypter, {
      secureOutbound: (async (connection, options) =>
        openedInPlace(
          await encrypter.secureOutbound(batched(connection), options),
        )) as ConnectionEncrypter['secureOutbound'],
      secureInbound: (async (connection, options) =>
        openedInPlace(
          await encrypter.secureInbound(batched(connection), options),
        )) as ConnectionEncrypter['secureInbound'],
    })
  }
}

/**
 * Opens messages where they lie. The package copies each for a cipher that writes over its input, which the one for long
 * messages does not; and it throws and catches an exception wherever no message is left.
 */
function openedInPlace<T extends { readonly connection: MessageStream }>(secured: T): T {
  const connection = secured.connection as NoiseConnection
  const { decoder, handshake } = connection
  const { buffer } = decoder
  decoder.decode = (bytes) => {
    buffer.append(bytes)
    const messages: ByteList[] = []
    while (buffer.byteLength >= LENGTH_BYTES) {
      const endBytes = LENGTH_BYTES + buffer.get(0) * 0x100 + buffer.get(1)
      if (buffer.byteLength < endBytes) break
      messages.push(buffer.sublist(LENGTH_BYTES, endBytes))
      buffer.consume(endBytes)
    }
    return messages
  }
  connection.decrypt = (message) => {
    if (message.byteLength < TAG_BYTES) throw new Error('a message of Noise without its tag')
    return handshake.decrypt(message)
  }
  return secured
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
