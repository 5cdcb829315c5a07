import assert from 'node:assert/strict'
import { GIB, MIB } from '../../../src/base/units.js'
import { CHUNK_SIZE } from '../../../src/redundancy/profiles.js'
import { budgetBytes, DISK_RESERVE_BYTES, planPartition } from '../../../src/shard/partition.js'

const TAO = 1_000_000_000n

describe('budgetBytes', () => {
  const ownBytes = 10 * GIB

  it('is a part of what is free and already ours, so that storing does not shrink it', () => {
    assert.equal(budgetBytes({ threshold: 0.0001, freeBytes: 1e12, ownBytes: 0 }), 1e8)
    assert.equal(budgetBytes({ threshold: 0.5, freeBytes: 90 * GIB, ownBytes }), 50 * GIB)
    assert.equal(budgetBytes({ threshold: 0.5, freeBytes: 80 * GIB, ownBytes: 20 * GIB }), 50 * GIB)
  })

  it('is the capacity where one is given, if the disk has it', () => {
    assert.equal(
      budgetBytes({ threshold: 0.1, freeBytes: 90 * GIB, ownBytes, capacityBytes: 64 * MIB }),
      64 * MIB,
    )
    const clipped = budgetBytes({ threshold: 0.1, freeBytes: 90 * GIB, ownBytes, capacityBytes: 500 * GIB })
    assert.equal(clipped, 100 * GIB - DISK_RESERVE_BYTES)
  })

  it('is nothing on a disk that is nearly full', () => {
    assert.equal(budgetBytes({ threshold: 1, freeBytes: DISK_RESERVE_BYTES, ownBytes: 0 }), 0)
    assert.equal(budgetBytes({ threshold: 1, freeBytes: 0, ownBytes: 0, capacityBytes: GIB }), 0)
  })
})

describe('planPartition', () => {
  const validators = [
    { hotkey: 'a', stakeRao: 100n * TAO },
    { hotkey: 'b', stakeRao: 300n * TAO },
    { hotkey: 'c', stakeRao: 0n },
  ]
  const chunks = (plan: ReturnType<typeof planPartition>) =>
    plan.shares.map(
      ({ validator, shareBytes, drains }) =>
        `${validator} ${shareBytes / CHUNK_SIZE}${drains ? ' drains' : ''}`,
    )
  const plan = (
    budgetChunks: number,
    leased: Record<string, number> = {},
    previous?: ReturnType<typeof planPartition>,
  ) =>
    planPartition({
      budgetBytes: budgetChunks * CHUNK_SIZE,
      validators,
      leasedBytes: new Map(Object.entries(leased).map(([validator, held]) => [validator, held * CHUNK_SIZE])),
      previous,
    })

  it('divides by stake, and gives one chunk at least', () => {
    assert.deepEqual(chunks(plan(401)), ['b 301', 'a 99', 'c 1'])
    assert.deepEqual(chunks(plan(5)), ['b 3', 'a 1', 'c 1'])
  })

  it('serves the highest stakes first where chunks are fewer than validators', () => {
    assert.deepEqual(chunks(plan(2)), ['a 1', 'b 1', 'c 0'])
    assert.deepEqual(chunks(plan(1)), ['b 1', 'a 0', 'c 0'])
    assert.deepEqual(chunks(plan(0)), ['a 0', 'b 0', 'c 0'])
  })

  it('plans nothing without a validator', () => {
    assert.deepEqual(planPartition({ budgetBytes: GIB, validators: [], leasedBytes: new Map() }).shares, [])
  })

  it('takes what an over-full shard holds off the others', () => {
    assert.deepEqual(chunks(plan(401, { a: 200 })), ['a 200 drains', 'b 200', 'c 1'])
  })

  it('keeps what was stored for a validator that is gone, and lets it drain', () => {
    assert.deepEqual(chunks(plan(401, { gone: 100, forgotten: 0 })), [
      'b 226',
      'gone 100 drains',
      'a 74',
      'c 1',
    ])
  })

  it('gives nobody more while more is held than the budget', () => {
    assert.deepEqual(chunks(plan(10, { gone: 50, a: 5 })), ['gone 50 drains', 'a 5 drains', 'b 0', 'c 0'])
  })

  it('stays as it is until a share would move by more than a twentieth or a chunk', () => {
    const first = plan(401)
    assert.equal(plan(402, {}, first), first)
    assert.equal(plan(410, {}, first), first)
    assert.deepEqual(chunks(plan(430, {}, first)), ['b 323', 'a 106', 'c 1'])
    assert.deepEqual(chunks(plan(400, {}, first)), ['b 300', 'a 99', 'c 1'])
  })

  it('lets a shard grow again when it has drained to its due', () => {
    const first = plan(401, { a: 101 })
    assert.deepEqual(chunks(first), ['b 299', 'a 101 drains', 'c 1'])
    assert.deepEqual(chunks(plan(401, { a: 99 }, first)), ['b 301', 'a 99', 'c 1'])
  })

  it('makes a validator that is gone drain at once, however little that changes', () => {
    const first = plan(401, { b: 300 })
    const next = planPartition({
      budgetBytes: 401 * CHUNK_SIZE,
      validators: validators.slice(0, 1).concat(validators.slice(2)),
      leasedBytes: new Map([['b', 300 * CHUNK_SIZE]]),
      previous: first,
    })
    assert.deepEqual(chunks(next), ['b 300 drains', 'a 100', 'c 1'])
  })
})
