import assert from 'node:assert/strict'
import { type Announcement, NewestFirst } from '../../../../src/roles/miner/announcements.js'
import { testId } from '../../../kit/test-chunk.js'

const item = (number: number, endBlock = 100): Announcement => ({
  key: `${number}`,
  digest: testId(32, number),
  startBlock: number,
  endBlock,
})

function drain(queue: NewestFirst): string {
  return queue
    .take(Number.POSITIVE_INFINITY, 0)
    .map(({ key }) => key)
    .join('')
}

describe('NewestFirst', () => {
  it('gives the newest first, each digest once', () => {
    const queue = new NewestFirst(10)
    for (const number of [1, 2, 1, 3, 2]) queue.push(item(number))
    assert.equal(drain(queue), '321')
    queue.push(item(1))
    assert.equal(drain(queue), '1', 'and again once it was taken')
  })

  it('puts older ones behind what waits', () => {
    const queue = new NewestFirst(10)
    queue.push(item(7))
    queue.pushOlder([1, 7, 2].map((number) => item(number)))
    assert.equal(drain(queue), '721')
  })

  it('drops the oldest above its bound, and takes them again later', () => {
    const queue = new NewestFirst(3)
    for (const number of [1, 2, 3, 4]) queue.push(item(number))
    queue.pushOlder([item(0)])
    assert.equal(queue.size, 3)
    queue.push(item(1))
    assert.equal(drain(queue), '143')
  })

  it('leaves out what has ended', () => {
    const queue = new NewestFirst(3)
    queue.push(item(1, 50))
    queue.push(item(2, 49))
    assert.deepEqual(
      queue.take(2, 49).map(({ key }) => key),
      ['1'],
    )
    assert.equal(queue.size, 0)
  })

  it('gives no more than it is asked for', () => {
    const queue = new NewestFirst(3)
    for (const number of [1, 2, 3]) queue.push(item(number))
    assert.deepEqual(
      queue.take(2, 0).map(({ key }) => key),
      ['3', '2'],
    )
    assert.equal(drain(queue), '1')
  })

  it('keeps what a second lease names until the last of them ends, whichever came first', () => {
    for (const ends of [
      [50, 60],
      [60, 50],
    ]) {
      const queue = new NewestFirst(3)
      for (const end of ends) queue.push(item(1, end))
      queue.pushOlder([item(1, 55)])
      assert.deepEqual([queue.size, queue.take(1, 59)[0]?.endBlock], [1, 60])
      queue.push(item(1, 50))
      assert.deepEqual(queue.take(1, 59), [], 'what was taken is forgotten')
    }
  })
})
