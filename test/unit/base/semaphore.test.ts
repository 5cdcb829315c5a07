import assert from 'node:assert/strict'
import { InvariantError, isSubnetError } from '../../../src/base/errors.js'
import { Semaphore } from '../../../src/base/semaphore.js'
import { turn } from '../../kit/fake-clock.js'

/** Acquires and remembers in which order the permits came. */
function recorder(semaphore: Semaphore) {
  const order: string[] = []
  return {
    order,
    take: (name: string, permits = 1, signal?: AbortSignal) =>
      semaphore.acquire(permits, signal === undefined ? {} : { signal }).then((release) => {
        order.push(name)
        return release
      }),
  }
}

describe('Semaphore', () => {
  it('grants in the order of asking, also to those who want more', async () => {
    const semaphore = new Semaphore({ permitsMax: 3, waitersMax: 9 })
    const { order, take } = recorder(semaphore)
    const first = await take('first', 2)
    const big = take('big', 3)
    const small = take('small', 1)
    await turn()
    assert.deepEqual(order, ['first'], 'a small one does not overtake a big one that waits')
    first()
    ;(await big)()
    await small
    assert.deepEqual(order, ['first', 'big', 'small'])
  })

  it('refuses with BUSY beyond the waiters it has room for', async () => {
    const semaphore = new Semaphore({ permitsMax: 1, waitersMax: 1 })
    await semaphore.acquire()
    const waiting = semaphore.acquire()
    await assert.rejects(semaphore.acquire(), (error) => isSubnetError(error, 'BUSY'))
    void waiting
  })

  it('lets a waiter go that was aborted, and those behind it pass', async () => {
    const semaphore = new Semaphore({ permitsMax: 2, waitersMax: 9 })
    const { order, take } = recorder(semaphore)
    await take('held', 1)
    const controller = new AbortController()
    const big = take('big', 2, controller.signal)
    const small = take('small', 1)
    controller.abort(new Error('no more'))
    await assert.rejects(big, /no more/)
    await small
    assert.deepEqual(order, ['held', 'small'])
  })

  it('gives permits back once, however often the release is called', async () => {
    const semaphore = new Semaphore({ permitsMax: 1, waitersMax: 9 })
    const release = await semaphore.acquire()
    release()
    release()
    await semaphore.acquire()
    const { order, take } = recorder(semaphore)
    void take('second')
    await turn()
    assert.deepEqual(order, [])
  })

  it('gives permits back when the work fails', async () => {
    const semaphore = new Semaphore({ permitsMax: 1, waitersMax: 0 })
    await assert.rejects(
      semaphore.run(() => Promise.reject(new Error('broken'))),
      /broken/,
    )
    assert.equal(await semaphore.run(async () => 'free again'), 'free again')
  })

  it('takes a wish that can never come true for a defect', async () => {
    await assert.rejects(new Semaphore({ permitsMax: 1, waitersMax: 1 }).acquire(2), InvariantError)
  })
})
