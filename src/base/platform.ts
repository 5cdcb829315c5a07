/**
 * libp2p 3 calls `Promise.withResolvers`, which Node has from version 22. This is the one allowed piece of work at
 * import, and must be the first import of every entry point.
 */
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
