import assert from 'node:assert/strict'
import { silentLogger } from '../../../../src/base/log.js'
import type { BlockHead } from '../../../../src/chain/chain.js'
import { HeadTrack } from '../../../../src/chain/subtensor/head-track.js'

describe('HeadTrack', () => {
  let branch: string[]
  let announced: string[]
  let asked: number
  let track: HeadTrack

  const head = (number: number): BlockHead => ({ number, hash: branch[number] ?? '', timestampMs: number })
  const see = (number: number) => track.see(head(number), {}, branch[number - 1])

  beforeEach(() => {
    branch = ['a0', 'a1', 'a2', 'a3', 'a4', 'a5', 'a6']
    announced = []
    asked = 0
    track = new HeadTrack({
      logger: silentLogger,
      headAt: async (number) => {
        asked += 1
        return head(number)
      },
    })
    track.onHead(({ hash }) => announced.push(hash))
  })

  it('announces what follows, without a question', async () => {
    for (const number of [1, 2, 3]) await see(number)
    assert.deepEqual([announced, asked], [['a1', 'a2', 'a3'], 0])
  })

  it('announces the newest after a gap, and nothing that was announced', async () => {
    for (const number of [1, 4]) await see(number)
    assert.deepEqual(announced, ['a1', 'a4'])
  })

  it('announces the other branch from its first block on', async () => {
    for (const number of [1, 2, 3]) await see(number)
    branch = ['a0', 'a1', 'b2', 'b3', 'b4']
    await see(4)
    assert.deepEqual(announced.slice(3), ['b2', 'b3', 'b4'])
    branch[5] = 'b5'
    await see(5)
    assert.deepEqual(announced.slice(6), ['b5'])
  })

  it('announces a shorter branch, and then forgets what was above it', async () => {
    for (const number of [1, 2, 3]) await see(number)
    branch = ['a0', 'a1', 'c2']
    await see(2)
    branch = ['a0', 'a1', 'a2', 'a3']
    await see(3)
    assert.deepEqual(announced.slice(3), ['c2', 'a2', 'a3'])
  })

  it('is silent about a node that is merely behind', async () => {
    for (const number of [1, 2, 3, 2]) await see(number)
    assert.deepEqual(announced, ['a1', 'a2', 'a3'])
    assert.equal(track.head?.number, 2)
  })

  it('lets one listener fail without the others', async () => {
    const logged: unknown[] = []
    const logger = { ...silentLogger, error: (fields: unknown) => logged.push(fields) }
    const other = new HeadTrack({ logger, headAt: async (number) => head(number) })
    const heard: number[] = []
    other.onHead(() => {
      throw new Error('broken')
    })
    const stop = other.onHead(({ number }) => heard.push(number))
    await other.see(head(1))
    stop()
    await other.see(head(2), {}, 'a1')
    assert.deepEqual([heard, logged.length], [[1], 2])
  })
})
