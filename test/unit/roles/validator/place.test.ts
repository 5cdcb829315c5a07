import assert from 'node:assert/strict'
import { isSubnetError } from '../../../../src/base/errors.js'
import { seededRandom } from '../../../../src/base/random.js'
import { GIB, MIB } from '../../../../src/base/units.js'
import { segmentSize } from '../../../../src/redundancy/layout.js'
import { placeManifest, placeSegment } from '../../../../src/redundancy/placement.js'
import { CHUNK_SIZE, groupCap, manifestCopies, PROFILES } from '../../../../src/redundancy/profiles.js'
import type { WatchedMiner } from '../../../../src/roles/validator/miner-watch.js'
import { offerMiners } from '../../../../src/roles/validator/place.js'
import { NO_SCORES } from '../../../kit/test-subnet.js'

const ASK = { put: new Uint8Array(16), leaseBlocks: 100 }

/** A miner of the operator `group`. */
function miner(uid: number, freeBytes = GIB, group = `g${uid}`): WatchedMiner {
  const neuron = {
    uid,
    hotkey: `m${uid}`,
    coldkey: group,
    stakeRao: 0n,
    validatorPermit: false,
    registeredAtBlock: 0,
    ...NO_SCORES,
  }
  const endpoint = { peerId: `p${uid}`, addresses: [`/ip4/127.0.0.1/tcp/${uid}`] }
  const capacity = { budgetBytes: 2 * GIB, heldBytes: 0, heldChunks: 0, freeBytes }
  return { member: { ...neuron, publicKey: new Uint8Array(32), endpoint }, capacity }
}

function miners(count: number, freeBytes = GIB): WatchedMiner[] {
  return Array.from({ length: count }, (_, uid) => miner(uid, freeBytes))
}

function offer(live: readonly WatchedMiner[], request: Parameters<typeof offerMiners>[2]) {
  return offerMiners(live, new Map(live.map(({ member }) => [member.hotkey, member.coldkey])), request)
}

describe('offerMiners', () => {
  it('offers all with room, the emptiest first, weighted by their free MiB', () => {
    const live = [
      miner(1, 3 * MIB),
      miner(2, 9 * MIB + 5),
      miner(3, 9 * MIB + 5),
      miner(4, MIB),
      miner(5, MIB - 1),
    ]
    const { miners: offered } = offer(live, { ...ASK, profile: 'copies', sizeBytes: 10 })
    assert.deepEqual(
      offered.map(({ member, weight, group }) => [member.uid, weight, group]),
      [
        [2, 9, 'g2'],
        [3, 9, 'g3'],
        [1, 3, 'g1'],
        [4, 1, 'g4'],
      ],
    )
  })

  it('offers at most 256', () => {
    assert.equal(offer(miners(300), { ...ASK, profile: 'copies' }).miners.length, 256)
  })

  it('refuses too few operators with how many it needs, there are, and are full', () => {
    const live = [...miners(4), miner(8, 100), miner(9, GIB, 'g1')]
    assert.throws(
      () => offer(live, { ...ASK, profile: 'small' }),
      (error) =>
        isSubnetError(error, 'TOO_FEW_PEERS') &&
        error.data.needed === 5 &&
        error.data.available === 4 &&
        error.message === 'profile small needs 5 operators with room, there are 4, 1 more miners are full',
    )
    assert.throws(
      () => offer([], { ...ASK, profile: 'single' }),
      (error) =>
        isSubnetError(error, 'TOO_FEW_PEERS') && error.data.needed === 1 && error.data.available === 0,
    )
  })

  it('warns below full strength and not at it', () => {
    const { warning } = offer(miners(11), { ...ASK, profile: 'small' })
    assert.equal(warning, 'small has its full strength from 12 operators, there are 11')
    assert.equal(offer(miners(12), { ...ASK, profile: 'small' }).warning, undefined)
  })

  it('counts operators, not miners, for full strength', () => {
    const live = miners(24).map(({ member }) => miner(member.uid, GIB, `g${member.uid % 11}`))
    assert.ok(offer(live, { ...ASK, profile: 'small' }).warning)
  })

  it('refuses what does not fit with the bytes, and takes what just does', () => {
    // 1 segment of 4 data chunks and 6 parity, 7 copies of the manifest: 16 MiB and a little.
    const request = { ...ASK, profile: 'small', sizeBytes: segmentSize('private', 4) } as const
    const needed = request.sizeBytes + 6 * CHUNK_SIZE + manifestCopies(PROFILES.small) * CHUNK_SIZE
    const live = [...miners(9, MIB), miner(9, needed - 9 * MIB)]
    assert.equal(offer(live, request).miners.length, 10)
    assert.throws(
      () => offer([...miners(9, MIB), miner(9, needed - 9 * MIB - 1)], request),
      (error) =>
        isSubnetError(error, 'NO_SPACE') &&
        error.data.neededBytes === needed &&
        error.data.freeBytes === needed - 1 &&
        error.retryable,
    )
  })

  it('offers for one that is continued also miners that it has filled, and does not ask for room for all of it', () => {
    const live = [...miners(8, 0), miner(8, MIB), miner(9, 2 * MIB)]
    const request = { ...ASK, profile: 'small', sizeBytes: GIB } as const
    assert.throws(() => offer(live, request), isSubnetError)
    const { miners: offered } = offer(live, { ...request, continues: true })
    assert.deepEqual(
      offered.map(({ member, weight }) => [member.uid, weight]),
      [[9, 2], [8, 1], ...Array.from({ length: 8 }, (_, uid) => [uid, 1])],
    )
  })

  it('takes an object of unknown size without asking for room, with orders for 64 GiB', () => {
    const { miners: offered } = offer(miners(10, MIB), { ...ASK, profile: 'small' })
    const share = Math.ceil((64 * GIB) / segmentSize('private', 4)) * CHUNK_SIZE
    assert.ok(offered.every(({ maxBytes }) => maxBytes > share && maxBytes < 2 * share))
  })

  it('permits every miner what placement gives it, though its group has few and others many', () => {
    const segments = 40
    // Five groups must hold 20 chunks with at most 4 each: the lone miner takes 4 of every segment.
    const live = [
      miner(0, 64 * GIB, 'lone'),
      ...miners(24).map(({ member: { uid } }) => miner(uid + 1, 64 * GIB, `g${uid % 4}`)),
    ]
    const sizeBytes = segments * segmentSize('private', 8)
    const { miners: offered } = offer(live, { ...ASK, profile: 'standard', sizeBytes })
    const candidates = offered.map(({ member, group, weight }) => ({ id: member.hotkey, group, weight }))
    const seed = seededRandom('seed').bytes(32)
    const chunks = new Array<number>(live.length).fill(0)
    const add = (index: number) => chunks.splice(index, 1, (chunks[index] ?? 0) + 1)
    placeManifest({ seed, copies: manifestCopies(PROFILES.standard), candidates }).holders.forEach(add)
    for (let segment = 0; segment < segments; segment += 1) {
      placeSegment({ seed, segment, n: 20, cap: groupCap(PROFILES.standard), candidates }).holders.forEach(
        add,
      )
    }
    for (const [index, { member, maxBytes }] of offered.entries()) {
      const placedBytes = (chunks[index] ?? 0) * CHUNK_SIZE
      assert.ok(
        maxBytes >= placedBytes,
        `${member.hotkey} is given ${placedBytes}, its order permits ${maxBytes}`,
      )
    }
  })

  it('permits the others what a third of the miners leave them when they fail', () => {
    const [segments, failed] = [400, 3]
    // Ten miners hold one chunk of every segment each, and may hold two.
    const live = miners(10, 64 * GIB)
    const sizeBytes = segments * segmentSize('private', 4)
    const { miners: offered } = offer(live, { ...ASK, profile: 'small', sizeBytes })
    const candidates = offered.map(({ member, group, weight }) => ({ id: member.hotkey, group, weight }))
    const seed = seededRandom('seed').bytes(32)
    const chunks = new Array<number>(live.length).fill(0)
    for (let segment = 0; segment < segments; segment += 1) {
      const { holders, spares } = placeSegment({ seed, segment, n: 10, cap: 2, candidates })
      const left = spares.filter((holder) => holder >= failed)
      for (const first of holders) {
        const holder = first >= failed ? first : left.shift()
        if (holder !== undefined) chunks[holder] = (chunks[holder] ?? 0) + 1
      }
    }
    assert.ok(Math.max(...chunks) > segments + 100, 'the others take much more than their share')
    assert.ok(offered.every(({ maxBytes }, index) => maxBytes >= (chunks[index] ?? 0) * CHUNK_SIZE))
  })

  it('takes the groups it is given, which may join more than the miners that answer show', () => {
    const live = miners(6)
    const groups = new Map(
      live.map(({ member }) => [member.hotkey, member.uid < 3 ? 'one' : `g${member.uid}`]),
    )
    assert.throws(
      () => offerMiners(live, groups, { ...ASK, profile: 'small' }),
      (error) => isSubnetError(error, 'TOO_FEW_PEERS') && error.data.available === 4,
    )
  })
})
