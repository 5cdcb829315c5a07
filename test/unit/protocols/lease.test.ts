import assert from 'node:assert/strict'
import { encodeMessage } from '../../../protocols/common/schema.js'
import { WIRE_STATUS } from '../../../protocols/common/status.js'
import { confirmLease } from '../../../protocols/lease/client.js'
import {
  checkLeaseCounted,
  checkLeaseHeld,
  countersignLease,
  LEASE_BYTES_MAX,
  LEASE_ENTRIES_MAX,
  type LeaseEntry,
} from '../../../protocols/lease/lease.js'
import { confirmAnswerSchema, LEASE } from '../../../protocols/lease/messages.js'
import { type LeaseHandler, serveLeases } from '../../../protocols/lease/server.js'
import { SubnetError } from '../../../src/base/errors.js'
import { cryptoReady } from '../../../src/crypto/keys.js'
import { CHUNK_SIZE } from '../../../src/redundancy/profiles.js'
import { sessionsPair, settle, signerOf } from '../../kit/sessions-pair.js'
import { testId } from '../../kit/test-chunk.js'
import { leaseEntry, testLease, wireChunk } from '../../kit/test-orders.js'
import { TEST_DOMAIN } from '../../kit/test-subnet.js'

const object = testId(32, 1)

describe('a lease', () => {
  before(cryptoReady)

  it('is held by the signature of its miner, and counts by that of its validator; neither stands for the other', () => {
    const [miner, validator] = [signerOf('miner', 'm'), signerOf('validator', 'v')]
    const signed = testLease(validator.publicKey, miner, object, [leaseEntry(wireChunk(1, 10))])
    const counted = countersignLease(validator, TEST_DOMAIN, signed.lease)
    checkLeaseHeld(signed, TEST_DOMAIN)
    checkLeaseCounted(signed.lease, counted, TEST_DOMAIN)
    const bad = { code: 'BAD_SIGNATURE' }
    const { lease, minerSignature } = signed
    assert.throws(() => checkLeaseHeld({ lease, minerSignature: counted }, TEST_DOMAIN), bad)
    assert.throws(() => checkLeaseCounted(lease, minerSignature, TEST_DOMAIN), bad)
    assert.throws(
      () => checkLeaseCounted(lease, countersignLease(miner, TEST_DOMAIN, lease), TEST_DOMAIN),
      bad,
    )
    assert.throws(() => checkLeaseHeld(signed, { ...TEST_DOMAIN, netuid: 2 }), bad)
    const longer = { ...lease, endBlock: lease.endBlock + 1 }
    assert.throws(() => checkLeaseHeld({ lease: longer, minerSignature }, TEST_DOMAIN), bad)
    assert.throws(() => checkLeaseCounted(longer, counted, TEST_DOMAIN), bad)
  })

  it('with all the entries it may have fits its limit', () => {
    const entry: LeaseEntry = [testId(32, 1), testId(32, 2), CHUNK_SIZE, 2 ** 31, 2 ** 31]
    const entries = Array<LeaseEntry>(LEASE_ENTRIES_MAX).fill(entry)
    const signed = testLease(testId(32, 3), signerOf('miner', 'm'), object, entries)
    assert.ok(encodeMessage(signed).length <= LEASE_BYTES_MAX)
  })
})

/** What these tests do not ask for. */
const UNASKED = { renew: () => assert.fail(), release: () => assert.fail() }

describe('lease: confirm', () => {
  before(cryptoReady)

  it('hands the countersignature over, with the hotkey of the session', async () => {
    const { near, far, clock } = sessionsPair({ role: 'validator' }, { role: 'miner' })
    const calls: Uint8Array[][] = []
    const handler: LeaseHandler = {
      ...UNASKED,
      confirm: async (...parts) => {
        calls.push(parts)
      },
    }
    serveLeases({ sessions: far.sessions, clock, handler })
    const confirmation = { object, validatorSignature: new Uint8Array(64).fill(3) }
    for (const _ of ['once', 'and again']) await confirmLease(near.components, far.known, confirmation)
    const expected = [near.signer.publicKey, object, confirmation.validatorSignature]
    assert.deepEqual(calls, [expected, expected])
    await settle()
    assert.equal(far.net.serving.size, 0)
    assert.equal(clock.pendingTimers, 0)
  })

  it('says what the miner says against it', async () => {
    const { near, far, clock } = sessionsPair({ role: 'validator' }, { role: 'miner' })
    const failures = [
      new SubnetError('NOT_FOUND', 'no lease'),
      new SubnetError('BAD_SIGNATURE', 'no'),
      new Error('own'),
    ]
    const handler: LeaseHandler = {
      ...UNASKED,
      confirm: async () => {
        throw failures.shift()
      },
    }
    serveLeases({ sessions: far.sessions, clock, handler })
    const confirmation = { object, validatorSignature: new Uint8Array(64) }
    for (const code of ['NOT_FOUND', 'BAD_SIGNATURE', 'INTERNAL']) {
      await assert.rejects(confirmLease(near.components, far.known, confirmation), { code })
    }
    assert.equal(far.logger.alarms.length, 1)
  })

  it('is for validators only, and takes nothing malformed', async () => {
    const handler: LeaseHandler = { ...UNASKED, confirm: () => assert.fail() }
    const client = sessionsPair({ role: 'client' }, { role: 'miner' })
    serveLeases({ sessions: client.far.sessions, clock: client.clock, handler })
    const confirmation = { object, validatorSignature: new Uint8Array(64) }
    await assert.rejects(confirmLease(client.near.components, client.far.known, confirmation), {
      code: 'REFUSED',
    })
    const { near, far, clock } = sessionsPair({ role: 'validator' }, { role: 'miner' })
    serveLeases({ sessions: far.sessions, clock, handler })
    const frames = await near.openRaw(far, LEASE)
    await frames.writeMessage({ type: 'confirm', object, validatorSignature: new Uint8Array(63) })
    const answer = await frames.readMessage(confirmAnswerSchema, 'answer')
    assert.equal(answer.type === 'failure' && answer.status, WIRE_STATUS.INVALID)
  })

  it('counts as given once it is answered, whatever then becomes of the connection', async () => {
    const { near, far } = sessionsPair({ role: 'validator' }, { role: 'miner' })
    far.serveRaw(LEASE, ['validator'], async (frames) => {
      await frames.readHeader()
      await frames.writeMessage({ type: 'confirmed' })
      await frames.end()
      await far.net.disconnect(near.net.peerId)
    })
    await confirmLease(near.components, far.known, { object, validatorSignature: new Uint8Array(64) })
  })
})
