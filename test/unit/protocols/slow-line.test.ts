/** Lines that are slow and steady: no fixed timeout may cost a chunk, whatever lies in buffers on the way. */
import assert from 'node:assert/strict'
import { BYTES_PER_SECOND_MIN } from '../../../protocols/common/frames.js'
import { RetrieveStream } from '../../../protocols/retrieve/client.js'
import { serveRetrieve } from '../../../protocols/retrieve/server.js'
import { StoreStream } from '../../../protocols/store/client.js'
import { serveStore } from '../../../protocols/store/server.js'
import { silentLogger } from '../../../src/base/log.js'
import { KIB, MIB } from '../../../src/base/units.js'
import { cryptoReady } from '../../../src/crypto/keys.js'
import { Receipts } from '../../../src/roles/miner/receipts.js'
import { FakeClock } from '../../kit/fake-clock.js'
import { TestPeers } from '../../kit/sessions-pair.js'
import { SimDisk } from '../../kit/sim-disk.js'
import { testOrder, testTally, wireChunk } from '../../kit/test-orders.js'
import { TEST_DOMAIN } from '../../kit/test-subnet.js'

const CHUNKS = [1, 2, 3, 4, 5, 6].map((number) => wireChunk(number, MIB))
/** Between the two ends: what libp2p, the muxer's window and two kernels hold at most. */
const BUFFERED_BYTES = 6 * MIB

/** The line alone, and the share of one of 20 miners that a client talks to, at the very limit of patience. */
const LINES = [
  ['256 KiB/s', 256 * KIB],
  ['a twentieth of that', (256 * KIB) / 20],
  ['just above the slowest there is patience with', BYTES_PER_SECOND_MIN * 1.02],
] as const

async function slowPair(bytesPerSecond: number) {
  const clock = new FakeClock()
  const streams = { bufferBytes: BUFFERED_BYTES, fragmentBytes: 16 * KIB, line: { bytesPerSecond, clock } }
  const peers = new TestPeers(streams, clock)
  const { authority } = peers
  return { clock, authority, near: peers.peer({ role: 'client' }), far: peers.peer({ role: 'miner' }) }
}

/** Lets time pass until the work is done. */
async function pass<T>(clock: FakeClock, work: Promise<T>): Promise<T> {
  let over = false
  const done = () => {
    over = true
  }
  work.then(done, done)
  while (!over) await clock.advance(10_000)
  return await work
}

describe('a slow line', function () {
  this.timeout(60_000)
  before(cryptoReady)

  for (const [title, bytesPerSecond] of LINES) {
    it(`stores every chunk: ${title}`, async () => {
      const pair = await slowPair(bytesPerSecond)
      const { clock, authority, near, far } = pair
      let keptBytes = 0
      const keep = async ({ sizeBytes }: { readonly sizeBytes: number }) => {
        keptBytes += sizeBytes
        return 'stored' as const
      }
      const handler = {
        reserve: async () => ({ keep, release: () => assert.fail('a body was given up') }),
        have: async () => [],
        lease: async () => assert.fail('nobody asks for one'),
      }
      const init = { domain: TEST_DOMAIN, miner: far.signer.publicKey }
      serveStore({ ...far.components, authority, handler }, init)
      const order = testOrder(pair, 'put')
      const stream = await pass(clock, StoreStream.open(near.components, far.known, order, TEST_DOMAIN))
      await pass(clock, Promise.all(CHUNKS.map((chunk) => stream.send(chunk))))
      assert.equal(keptBytes, CHUNKS.length * MIB)
      assert.equal(stream.ended, false)
    })

    it(`retrieves every chunk: ${title}`, async () => {
      const pair = await slowPair(bytesPerSecond)
      const { clock, authority, near, far } = pair
      const components = { clock, logger: silentLogger, head: authority, openIndex: new SimDisk().openIndex }
      const receipts = new Receipts(components, '/receipts')
      await receipts.start()
      const bytesOf = new Map(CHUNKS.map(({ digest, bytes }) => [Buffer.from(digest).toString('hex'), bytes]))
      const handler = {
        account: receipts.account.bind(receipts),
        read: async (_: unknown, digest: Uint8Array) => {
          const bytes = bytesOf.get(Buffer.from(digest).toString('hex')) ?? assert.fail('another chunk')
          return { sizeBytes: MIB, bytes, proof: [] }
        },
        readWithoutOrder: async () => assert.fail('there is an order'),
        served: async () => undefined,
      }
      const init = { domain: TEST_DOMAIN, miner: far.signer.publicKey }
      serveRetrieve({ ...far.components, authority, handler }, init)
      const tally = testTally(pair)
      const stream = await pass(clock, RetrieveStream.open(near.components, far.known, tally))
      // More than once, so that receipts are needed too.
      for (let round = 0; round < 2; round += 1) {
        await pass(clock, Promise.all(CHUNKS.map((chunk) => stream.get(chunk))))
      }
      assert.equal(stream.ended, false)
      await pass(clock, stream.close())
    })
  }
})
