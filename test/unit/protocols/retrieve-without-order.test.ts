import assert from 'node:assert/strict'
import { RetrieveStream } from '../../../protocols/retrieve/client.js'
import type { ChunkRange } from '../../../protocols/retrieve/exchange.js'
import { type RetrieveHandler, serveRetrieve } from '../../../protocols/retrieve/server.js'
import { isSubnetError, SubnetError } from '../../../src/base/errors.js'
import { cryptoReady } from '../../../src/crypto/keys.js'
import { describeChunk } from '../../../src/redundancy/chunk.js'
import { freeAccount } from '../../kit/order-accounts.js'
import { sessionsPair } from '../../kit/sessions-pair.js'
import { testOrder, testTally } from '../../kit/test-orders.js'
import { TEST_DOMAIN } from '../../kit/test-subnet.js'

const BODY = new Uint8Array(5_000).fill(7)
const CHUNK = describeChunk(BODY)

function setUp() {
  const pair = sessionsPair({ role: 'client' }, { role: 'miner' })
  const asked: string[] = []
  let refusal: Error | undefined
  const range = (how: string): ChunkRange => {
    asked.push(how)
    if (refusal !== undefined) throw refusal
    return { sizeBytes: BODY.length, bytes: BODY, proof: [] }
  }
  const handler: RetrieveHandler = {
    account: async () => freeAccount(),
    read: async () => range('order'),
    readWithoutOrder: async (peerId) => range(peerId),
    served: async (_order, bytes) => {
      asked.push(`served ${bytes}`)
    },
  }
  const { far, near } = pair
  serveRetrieve({ ...far.components, handler }, { domain: TEST_DOMAIN, miner: far.signer.publicKey })
  const refuse = (error: Error | undefined) => {
    refusal = error
  }
  return { pair, near, far, asked, refuse }
}

describe('retrieve without an order', () => {
  before(cryptoReady)

  it('reads under the name of the peer, not under an order', async () => {
    const { near, far, asked } = setUp()
    const stream = await RetrieveStream.open(near.components, far.known, undefined)
    assert.deepEqual(await stream.getWhole(CHUNK.digest), BODY)
    await stream.close()
    assert.deepEqual(asked, [near.net.peerId])
  })

  it('changes nothing for a stream with an order', async () => {
    const { pair, near, far, asked } = setUp()
    const stream = await RetrieveStream.open(near.components, far.known, testTally(pair))
    await stream.get(CHUNK)
    await stream.close()
    assert.equal(asked[0], 'order')
    const toPut = testTally(pair, testOrder(pair, 'put'))
    await assert.rejects(RetrieveStream.open(near.components, far.known, toPut), (error) =>
      isSubnetError(error, 'REFUSED'),
    )
  })

  it('says BUSY and when to come back, for that request only', async () => {
    const { near, far, refuse } = setUp()
    const stream = await RetrieveStream.open(near.components, far.known, undefined)
    refuse(new SubnetError('BUSY', 'used up', { data: { retryAfterMs: 5_000 } }))
    await assert.rejects(
      stream.get(CHUNK),
      (error) => isSubnetError(error, 'BUSY') && error.data.retryAfterMs === 5_000,
    )
    refuse(undefined)
    await stream.get(CHUNK)
    await stream.close()
  })
})
