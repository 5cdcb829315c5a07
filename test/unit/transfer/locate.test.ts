import assert from 'node:assert/strict'
import type { KnownPeer } from '../../../protocols/hello/sessions.js'
import {
  type Holder,
  LOCATE_SEGMENTS_MAX,
  type LocateBody,
  type Located,
} from '../../../protocols/order/messages.js'
import { type AbortOptions, raceAbort } from '../../../src/base/abort.js'
import type { ErrorCode } from '../../../src/base/errors.js'
import { isSubnetError, SubnetError } from '../../../src/base/errors.js'
import type { SegmentEntry } from '../../../src/redundancy/segment.js'
import { Locator } from '../../../src/transfer/locate.js'
import type { Found, FoundMany } from '../../../src/transfer/search.js'
import { FakeClock, turn } from '../../kit/fake-clock.js'
import { deferred } from '../../kit/probe-actor.js'
import { testId } from '../../kit/test-chunk.js'

const coded = (code: ErrorCode) => (error: unknown) => isSubnetError(error, code)
const OBJECT = testId(32, 1)
/** The object of the tests: two full pages and one segment, two chunks each. */
const SEGMENTS = 2 * LOCATE_SEGMENTS_MAX + 1

/** Where the orders of every page end. */
const EXPIRES_BLOCK = 1_000

/** How a validator takes the question. */
type Manner = 'knows' | 'does not know' | 'gone' | 'silent' | 'late'

function holder(number: number): Holder {
  const order = { expiresBlock: EXPIRES_BLOCK }
  return {
    hotkey: testId(32, number),
    peerId: `miner ${number}`,
    address: '/ip4/127.0.0.1/tcp/1',
    order,
  } as Holder
}

class FakeOrders {
  readonly asked: [validator: string, firstSegment: number][] = []
  readonly manners: Manner[]
  /** Until then, 'late' ones say nothing. */
  readonly late = deferred<void>()

  constructor(manners: Manner[]) {
    this.manners = manners
  }

  async locate(validator: KnownPeer, body: LocateBody, options: AbortOptions): Promise<Located> {
    this.asked.push([validator.peerId, body.firstSegment])
    assert.deepEqual([body.object, body.segments], [OBJECT, LOCATE_SEGMENTS_MAX])
    const manner = this.manners[Number(validator.peerId)]
    if (manner === 'silent') await raceAbort(new Promise(() => undefined), options.signal)
    if (manner === 'late') await this.late.promise
    if (manner === 'gone') throw new SubnetError('DISCONNECTED', 'gone')
    if (manner === 'does not know') throw new SubnetError('NOT_FOUND', 'unknown')
    const count = Math.max(0, Math.min(LOCATE_SEGMENTS_MAX, SEGMENTS - body.firstSegment))
    return {
      type: 'located',
      holders: [holder(0), holder(1), holder(2)],
      nodes: [[0, 1], [2]],
      segments: Array.from({ length: count }, (_, i) => [[(body.firstSegment + i) % 3], [1, 2]]),
    }
  }

  /** The validators asked so far, in turn. */
  get names(): string {
    return this.asked.map(([name]) => name).join('')
  }
}

/** Finds a chunk where `at` says, by the first byte of its digest. */
class FakeSearch {
  readonly at = new Map<number, readonly Holder[]>()
  readonly asked: number[] = []

  async one(digest: Uint8Array): Promise<Found> {
    this.asked.push(1)
    return { holders: this.at.get(digest[0] ?? 0) ?? [], tried: 'nobody has it' }
  }

  async many(digests: readonly Uint8Array[]): Promise<FoundMany> {
    this.asked.push(digests.length)
    const holders = digests.map((digest) => this.at.get(digest[0] ?? 0) ?? [])
    return { holders, asked: 3, answered: 2 }
  }
}

/** A segment of so many chunks, whose digests all begin with `mark`. */
function entryOf(mark: number, chunks: number): SegmentEntry {
  const digest = new Uint8Array(32).fill(mark)
  return { chunks: Array.from({ length: chunks }, () => ({ digest })) } as unknown as SegmentEntry
}

function setUp(...manners: Manner[]) {
  const clock = new FakeClock()
  const orders = new FakeOrders(manners)
  const validators = manners.map((_, index) => ({ peerId: `${index}`, addresses: [], hotkey: OBJECT }))
  const search = new FakeSearch()
  const authority = { block: 1 }
  const components = { orders, clock, authority, search }
  const locator = new Locator(components, OBJECT, validators)
  return { clock, authority, orders, search, locator }
}

describe('Locator', () => {
  it('names the holders of nodes and of each chunk of a segment', async () => {
    const { locator } = setUp('knows')
    assert.deepEqual(await locator.node(0, OBJECT), [holder(0), holder(1)])
    assert.deepEqual(await locator.node(1, OBJECT), [holder(2)])
    assert.deepEqual(await locator.node(2, OBJECT), [], 'a node nobody leased')
    assert.deepEqual(await locator.segment(4, []), [[holder(1)], [holder(1), holder(2)]])
  })

  it('asks once for a page, of the first five validators at once', async () => {
    const { orders, locator } = setUp('silent', 'silent', 'silent', 'silent', 'knows', 'knows')
    await Promise.all([
      locator.node(0, OBJECT),
      locator.segment(0, []),
      locator.segment(LOCATE_SEGMENTS_MAX - 1, []),
    ])
    assert.equal(orders.names, '01234')
  })

  it('asks the next one for each that does not know it', async () => {
    const none: Manner[] = ['does not know', 'silent', 'does not know', 'silent', 'gone']
    const { orders, locator } = setUp(...none, 'does not know', 'knows', 'knows', 'knows', 'knows')
    await locator.node(0, OBJECT)
    assert.equal(orders.names, '01234567')
  })

  it('reaches the validator that knows it behind any number that do not', async () => {
    const { orders, locator } = setUp(...new Array<Manner>(63).fill('does not know'), 'knows')
    assert.equal((await locator.node(0, OBJECT)).length, 2)
    assert.equal(orders.asked.length, 64)
  })

  it('asks one more after each half second of silence, and gives each ten seconds', async () => {
    const { clock, orders, locator } = setUp(...new Array<Manner>(63).fill('silent'), 'knows')
    const node = locator.node(0, OBJECT)
    await clock.advance(499)
    assert.equal(orders.names, '01234')
    await clock.advance(1)
    assert.equal(orders.names, '012345')
    for (let i = 0; i < 80 && orders.asked.length < 64; i += 1) await clock.advance(500)
    assert.equal((await node).length, 2)
    assert.equal(clock.pendingTimers, 0)
  })

  it('asks for a page anew when the last quarter of its orders has begun', async () => {
    const { authority, orders, locator } = setUp('knows')
    await locator.segment(0, [])
    authority.block = 750
    await locator.segment(1, [])
    assert.equal(orders.asked.length, 1)
    authority.block = 751
    await Promise.all([locator.segment(1, []), locator.segment(2, [])])
    assert.equal(orders.asked.length, 2)
  })

  it('asks only the validator that knew for the next pages, with their first segment', async () => {
    const { orders, locator } = setUp('does not know', 'knows', 'does not know')
    await locator.node(0, OBJECT)
    await locator.segment(LOCATE_SEGMENTS_MAX, [])
    await locator.segment(SEGMENTS - 1, [])
    assert.deepEqual(orders.asked.slice(3), [
      ['1', LOCATE_SEGMENTS_MAX],
      ['1', 2 * LOCATE_SEGMENTS_MAX],
    ])
  })

  it('asks all again when the one that knew is gone', async () => {
    const { orders, locator } = setUp('knows', 'does not know')
    await locator.node(0, OBJECT)
    orders.manners.splice(0, 2, 'gone', 'knows')
    const [[first]] = (await locator.segment(LOCATE_SEGMENTS_MAX, [])) as [[Holder]]
    assert.equal(first.peerId, `miner ${LOCATE_SEGMENTS_MAX % 3}`)
    assert.equal(orders.names, '01' + '001')
    await locator.segment(2 * LOCATE_SEGMENTS_MAX, [])
    assert.equal(orders.names, '01' + '001' + '1', 'and stays with the new one')
  })

  it('is NOT_FOUND when every validator answers that it does not know', async () => {
    const { locator } = setUp(...new Array<Manner>(7).fill('does not know'))
    await assert.rejects(
      locator.node(0, OBJECT),
      (error) =>
        isSubnetError(error, 'NOT_FOUND') &&
        error.message === 'none of 7 validators knows this object; nobody has it',
    )
  })

  it('is DISCONNECTED when one that did not answer might know', async () => {
    const { locator } = setUp('does not know', 'gone', 'does not know')
    await assert.rejects(
      locator.node(0, OBJECT),
      (error) =>
        isSubnetError(error, 'DISCONNECTED') &&
        error.message === '2 validators do not know this object, 1 did not answer; nobody has it' &&
        isSubnetError(error.cause, 'DISCONNECTED'),
    )
  })

  it('is TOO_FEW_PEERS when there is nobody to ask', async () => {
    await assert.rejects(setUp().locator.node(0, OBJECT), coded('TOO_FEW_PEERS'))
  })

  it('does not know a segment beyond the end', async () => {
    await assert.rejects(setUp('knows').locator.segment(SEGMENTS, []), coded('NOT_FOUND'))
  })

  it('asks again after a failure', async () => {
    const { orders, locator } = setUp('gone')
    await assert.rejects(locator.node(0, OBJECT), coded('DISCONNECTED'))
    orders.manners[0] = 'knows'
    assert.equal((await locator.node(0, OBJECT)).length, 2)
  })

  it('ends with the reason of an abort', async () => {
    const { clock, locator } = setUp('silent', 'silent')
    const stop = new AbortController()
    const node = locator.node(0, OBJECT, { signal: stop.signal })
    node.catch(() => undefined)
    await turn()
    stop.abort(new Error('changed my mind'))
    await assert.rejects(node, /changed my mind/)
    assert.equal(clock.pendingTimers, 0)
  })

  it('searches when no validator helps, many segments at once, and stays with that for a minute', async () => {
    const { clock, orders, search, locator } = setUp('gone', 'does not know')
    search.at.set(1, [holder(7)]).set(9, [holder(9)])
    assert.deepEqual(await locator.node(0, new Uint8Array(32).fill(9)), [holder(9)])
    const entries = Array.from({ length: 60 }, (_, i) => entryOf(i % 2, 10))
    for (const [index] of entries.entries()) {
      const found = await locator.segment(index, entries.slice(index))
      assert.deepEqual(found, new Array(10).fill(index % 2 === 1 ? [holder(7)] : []), `segment ${index}`)
    }
    assert.deepEqual(search.asked, [1, 510, 90])
    assert.equal(orders.names, '01')
    orders.manners[0] = 'knows'
    await clock.advance(60_000)
    assert.deepEqual(await locator.node(0, OBJECT), [holder(0), holder(1)])
  })

  it('searches after two seconds without an answer, and goes back to leases when one comes', async () => {
    const { clock, orders, search, locator } = setUp('silent', 'silent')
    search.at.set(9, [holder(9)])
    const digest = new Uint8Array(32).fill(9)
    const node = locator.node(0, digest)
    await clock.advance(1_999)
    assert.deepEqual(search.asked, [])
    await clock.advance(1)
    assert.deepEqual(await node, [holder(9)])
    await clock.advance(8_000)
    orders.manners[1] = 'knows'
    await clock.advance(60_000)
    assert.deepEqual(await locator.node(0, digest), [holder(0), holder(1)])
  })

  it('takes what a late validator says when the search finds nobody', async () => {
    const { clock, orders, search, locator } = setUp('late')
    const node = locator.node(0, OBJECT)
    await clock.advance(5_000)
    assert.deepEqual(search.asked, [1])
    orders.late.resolve()
    assert.deepEqual(await node, [holder(0), holder(1)])
  })
})
