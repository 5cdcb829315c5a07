import assert from 'node:assert/strict'
import { SubnetError } from '../../../src/base/errors.js'
import { sha256 } from '../../../src/crypto/hash.js'
import { cryptoReady } from '../../../src/crypto/keys.js'
import type { PeerAddress } from '../../../src/net/net.js'
import { HolderSearch, SEARCH_MINERS_MAX } from '../../../src/transfer/search.js'
import { candidatePeer } from '../../../src/transfer/store-pool.js'
import { turn } from '../../kit/fake-clock.js'
import { RetrievePeers } from '../../kit/retrieve-peers.js'

const BODY = Uint8Array.of(1, 2, 3)
const DIGEST = sha256(BODY)

/** `announced` are the numbers of peers; -1 is a stranger. */
function setUp(
  miners: number,
  announced: readonly number[] = [],
  after: () => Promise<void> = async () => {},
) {
  const peers = new RetrievePeers(miners)
  async function* findProviders(): AsyncGenerator<PeerAddress> {
    for (const number of announced) yield { peerId: `peer ${number}`, addresses: [] }
    await after()
  }
  const members = peers.holders.map((holder) => candidatePeer(holder))
  const search = new HolderSearch({ ...peers.components, findProviders, miners: () => members })
  const questions = () => peers.miners.map((miner) => miner.questions.length)
  return { peers, search, questions }
}

const names = (holders: readonly { readonly peerId: string }[]) => holders.map(({ peerId }) => peerId).sort()

describe('HolderSearch', () => {
  before(cryptoReady)

  it('asks only the miners that announced a chunk, while one of them confirms it', async () => {
    const { peers, search, questions } = setUp(4, [2, 1])
    for (const miner of peers.miners) miner.put(BODY)
    const { holders } = await search.one(DIGEST)
    assert.deepEqual(names(holders), ['peer 1', 'peer 2'])
    assert.equal(holders[0]?.order, undefined)
    assert.deepEqual(questions(), [0, 1, 1, 0])
  })

  it('ignores announcers that are no members, and asks everybody else when the announcers have it not', async () => {
    const { peers, search, questions } = setUp(4, [-1, 2])
    peers.miner(0).put(BODY)
    assert.deepEqual(names((await search.one(DIGEST)).holders), ['peer 0'])
    assert.deepEqual(questions(), [1, 1, 1, 1], 'nobody twice')
  })

  it('goes on without a DHT that fails or never ends', async () => {
    const failing = setUp(2, [], async () => {
      throw new SubnetError('DISCONNECTED', 'no DHT')
    })
    failing.peers.miner(1).put(BODY)
    assert.deepEqual(names((await failing.search.one(DIGEST)).holders), ['peer 1'])
  })

  it('says for each digest who has it, and leaves a silent miner out for a minute', async () => {
    const { peers, search, questions } = setUp(3)
    const others = [Uint8Array.of(4), Uint8Array.of(5)]
    peers.miner(0).put(BODY)
    peers.miner(2).put(BODY, others[0] as Uint8Array)
    peers.mesh.set('peer 1', 'silent')
    const digests = [DIGEST, ...others.map((body) => sha256(body))]
    const asking = search.many(digests)
    await turn()
    await peers.clock.advance(5_000)
    const { holders, asked, answered } = await asking
    assert.deepEqual(holders.map(names), [['peer 0', 'peer 2'], ['peer 2'], []])
    assert.deepEqual([asked, answered], [3, 2])
    peers.mesh.set('peer 1', 'up')
    await search.many(digests)
    assert.deepEqual(questions(), [2, 0, 2])
    await peers.clock.advance(60_000)
    await search.many(digests)
    assert.deepEqual(questions(), [3, 1, 3])
  })

  it(`asks ${SEARCH_MINERS_MAX} miners at most`, async () => {
    const { search, questions } = setUp(SEARCH_MINERS_MAX + 1)
    await search.many([DIGEST])
    assert.equal(questions().filter((count) => count === 1).length, SEARCH_MINERS_MAX)
  })

  it("ends with its caller's reason", async () => {
    const { peers, search } = setUp(1)
    peers.mesh.set('peer 0', 'silent')
    const stop = new AbortController()
    const asking = search.one(DIGEST, { signal: stop.signal })
    asking.catch(() => undefined)
    await turn()
    stop.abort(new Error('enough'))
    await assert.rejects(asking, /enough/)
    assert.equal(peers.clock.pendingTimers, 0)
  })
})
