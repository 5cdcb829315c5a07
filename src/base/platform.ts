/**
 * What every process of ours needs of Node. This is the one allowed piece of work at import, and must be the first import
 * of every entry point.
 */
import { setFlagsFromString } from 'node:v8'

/**
 * How much the heap may grow between two full collections, percent. V8 counts in it the buffers outside of the heap, of
 * which a transfer makes as many bytes as it moves and the small collections free every 32 MiB. A quiet process gets
 * room for less than that from V8, and then collects fully every few MiB of a transfer: twice the CPU, for nothing.
 */
const HEAP_GROWTH_PERCENT = 150

setFlagsFromString(`--heap-growing-percent=${HEAP_GROWTH_PERCENT}`)

/** libp2p 3 calls `Promise.withResolvers`, which Node has from version 22. */
interface Resolvers<T> {
  promise: Promise<T>
  resolve: (value: T | PromiseLike<T>) => void
  reject: (reason?: unknown) => void
}

const promiseClass = Promise as unknown as { withResolvers?: <T>() => Resolvers<T> }

promiseClass.withResolvers ??= function withResolvers<T>(): Resolvers<T> {
  let resolve!: Resolvers<T>['resolve']
  let reject!: Resolvers<T>['reject']
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve
    reject = onReject
  })
  return { promise, resolve, reject }
}
