/**
 * Giving memory back at once. The garbage collector learns late that a buffer outside its heap is garbage: some 64 MiB
 * of them gather per thread before it looks, and each new one is fresh pages for the kernel to clear.
 */
import { MessageChannel, type MessagePort } from 'node:worker_threads'

/**
 * Frees the memory of bytes that nobody will look at again; every view of them is empty from then on. Only for bytes
 * this code made or was given for good, and never for what the net may still have to send. Bytes that are part of a
 * larger buffer are left alone.
 */
export function release(bytes: Uint8Array): void {
  if (bytes.buffer.byteLength === bytes.length) free(bytes.buffer)
}

/** As `release`, also for bytes that are more than half of their buffer: for whoever owns all of it. */
export function releaseWithRest(bytes: Uint8Array): void {
  if (bytes.length * 2 > bytes.buffer.byteLength) free(bytes.buffer)
}

function free(buffer: ArrayBufferLike): void {
  if (!(buffer instanceof ArrayBuffer) || buffer.byteLength === 0) return
  nowhere ??= closedPort()
  nowhere.postMessage(undefined, [buffer])
}

let nowhere: MessagePort | undefined

/** A port whose other end is closed: what is moved into it is freed. `ArrayBuffer.transfer(0)` will do once Node 22 is the oldest. */
function closedPort(): MessagePort {
  const { port1, port2 } = new MessageChannel()
  port2.close()
  return port1
}
