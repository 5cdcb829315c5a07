/** Orders, leases and chunks as the wire carries them, for tests of the protocols. Wait for `cryptoReady` first. */
import { type LeaseEntry, type SignedLease, signLease } from '../../protocols/lease/lease.js'
import { type Order, type OrderVerb, signOrder } from '../../protocols/order/order.js'
import { OrderTally } from '../../protocols/retrieve/receipt.js'
import type { OutgoingChunk } from '../../protocols/store/client.js'
import { seededRandom } from '../../src/base/random.js'
import type { Signer } from '../../src/crypto/keys.js'
import { type ChunkReference, describeChunk } from '../../src/redundancy/chunk.js'
import { type SessionsPair, signerOf } from './sessions-pair.js'
import { testId } from './test-chunk.js'
import { TEST_DOMAIN } from './test-subnet.js'

/** The validator that issues the orders of a test; it has a permit in `pair` from now on. */
export function issuer(pair: Pick<SessionsPair, 'authority'>): Signer {
  const signer = signerOf('validator', 'issuer')
  pair.authority.register(signer.publicKey, 'validator')
  return signer
}

/** An order for the near peer at the far one, for 64 MiB and 100 blocks unless `fields` say otherwise. */
export function testOrder(
  pair: SessionsPair,
  verb: OrderVerb,
  fields: Partial<Omit<Order, 'validator' | 'signature'>> = {},
): Order {
  const expiresBlock = pair.authority.block + 100
  return signOrder(issuer(pair), TEST_DOMAIN, {
    verb,
    client: pair.near.signer.publicKey,
    miner: pair.far.signer.publicKey,
    maxBytes: 64 * 1024 * 1024,
    serial: testId(16, 1),
    expiresBlock,
    leaseEndBlock: verb === 'put' ? expiresBlock + 1_000 : expiresBlock,
    ...fields,
  })
}

/** An order to get, ready to be used by the near peer. */
export function testTally(pair: SessionsPair, order = testOrder(pair, 'get')): OrderTally {
  return new OrderTally(order, { signer: pair.near.signer, domain: TEST_DOMAIN })
}

/** The same number gives the same bytes. */
export function wireChunk(number: number, sizeBytes: number): OutgoingChunk & ChunkReference {
  const bytes = seededRandom(`wire chunk ${number}`).bytes(sizeBytes)
  return { ...describeChunk(bytes), bytes }
}

export function leaseEntry(chunk: ChunkReference, segment = 0, index = 0): LeaseEntry {
  return [chunk.digest, chunk.auditRoot, chunk.sizeBytes, segment, index]
}

/** A lease of the miner for the validator, blocks 1 to 1,000. */
export function testLease(
  validator: Uint8Array,
  miner: Signer,
  object: Uint8Array,
  entries: LeaseEntry[],
): SignedLease {
  const lease = { object, validator, miner: miner.publicKey, entries, startBlock: 1, endBlock: 1_000 }
  return signLease(miner, TEST_DOMAIN, lease)
}
