import assert from 'node:assert/strict'
import fc from 'fast-check'
import { CHUNK_SIZE } from '../../src/redundancy/profiles.js'
import { type PartitionPlan, type PlanPartitionInit, planPartition } from '../../src/shard/partition.js'

const hotkey = fc.nat({ max: 40 }).map((n) => `hotkey ${n}`)
const stakeRao = fc.oneof(
  fc.bigInt({ min: 0n, max: 10n }),
  fc.bigInt({ min: 0n, max: 21_000_000n * 1_000_000_000n }),
)
const validators = fc.uniqueArray(fc.record({ hotkey, stakeRao }), {
  selector: (v) => v.hotkey,
  maxLength: 30,
})
const budgetBytes = fc.nat({ max: 2_000 * CHUNK_SIZE })
/** Some of the validators, and some that are gone. */
const leasedBytes = fc
  .array(fc.tuple(hotkey, fc.nat({ max: 100 * CHUNK_SIZE })), { maxLength: 10 })
  .map((entries) => new Map(entries))
const init: fc.Arbitrary<PlanPartitionInit> = fc.record({ budgetBytes, validators, leasedBytes })
const fresh: fc.Arbitrary<PlanPartitionInit> = fc.record({
  budgetBytes,
  validators,
  leasedBytes: fc.constant(new Map()),
})

const wholeChunks = (bytes: number) => Math.ceil(bytes / CHUNK_SIZE) * CHUNK_SIZE
const sumOf = (plan: PartitionPlan) => plan.shares.reduce((sum, { shareBytes }) => sum + shareBytes, 0)
const sharesOf = (plan: PartitionPlan) => new Map(plan.shares.map((share) => [share.validator, share]))

describe('planPartition', () => {
  it('gives whole chunks, never more than the budget or, if that is more, than what is held', () => {
    fc.assert(
      fc.property(init, (given) => {
        const plan = planPartition(given)
        for (const { shareBytes } of plan.shares) assert.equal(shareBytes % CHUNK_SIZE, 0)
        const heldBytes = [...given.leasedBytes.values()].reduce((sum, bytes) => sum + wholeChunks(bytes), 0)
        if (heldBytes <= given.budgetBytes) assert.ok(sumOf(plan) <= given.budgetBytes)
        else assert.ok(sumOf(plan) <= heldBytes)
      }),
    )
  })

  it('never plans held bytes away, and lets drain exactly what is over its due or without a validator', () => {
    fc.assert(
      fc.property(init, (given) => {
        const shares = sharesOf(planPartition(given))
        const current = new Set(given.validators.map((validator) => validator.hotkey))
        for (const [validator, bytes] of given.leasedBytes) {
          if (bytes === 0) continue
          const share = shares.get(validator)
          assert.ok(share !== undefined && share.shareBytes >= bytes)
          if (share.drains) assert.equal(share.shareBytes, wholeChunks(bytes))
          if (!current.has(validator)) assert.ok(share.drains)
        }
        for (const validator of current) assert.ok(shares.has(validator))
      }),
    )
  })

  it('divides all whole chunks of the budget, one at least for each where they suffice', () => {
    fc.assert(
      fc.property(fresh, (given) => {
        const plan = planPartition(given)
        const chunks = Math.floor(given.budgetBytes / CHUNK_SIZE)
        if (given.validators.length > 0) assert.equal(sumOf(plan), chunks * CHUNK_SIZE)
        const served = plan.shares.filter(({ shareBytes }) => shareBytes > 0).length
        assert.equal(served, Math.min(chunks, given.validators.length))
      }),
    )
  })

  it('gives more stake never less, and nobody more than a chunk above the due', () => {
    fc.assert(
      fc.property(fresh, (given) => {
        const shares = sharesOf(planPartition(given))
        const chunks = BigInt(Math.floor(given.budgetBytes / CHUNK_SIZE))
        const weight = given.validators.reduce((sum, validator) => sum + validator.stakeRao + 1n, 0n)
        const chunksOf = (hotkey: string) => (shares.get(hotkey)?.shareBytes ?? 0) / CHUNK_SIZE
        for (const { hotkey, stakeRao } of given.validators) {
          const due = Number((chunks * (stakeRao + 1n) * 1_000n) / weight) / 1_000
          const share = chunksOf(hotkey)
          assert.ok(share <= Math.max(1, Math.ceil(due + 0.001)), `${share} chunks for a due of ${due}`)
          assert.ok(share > due - given.validators.length, `${share} chunks for a due of ${due}`)
          for (const other of given.validators) {
            if (other.stakeRao > stakeRao) assert.ok(chunksOf(other.hotkey) >= share)
          }
        }
      }),
    )
  })

  it('does not depend on the order in which validators and shards are listed', () => {
    fc.assert(
      fc.property(init, (given) => {
        const turned = {
          ...given,
          validators: [...given.validators].reverse(),
          leasedBytes: new Map([...given.leasedBytes].reverse()),
        }
        assert.deepEqual(planPartition(turned), planPartition(given))
      }),
    )
  })

  it('moves no share for a stake that moves a little, however full the shards are', () => {
    const fullness = fc.constantFrom(0, 0.5, 1)
    const enough = fc.integer({ min: 7_000, max: 20_000 }).map((chunks) => chunks * CHUNK_SIZE)
    const staked = fc.uniqueArray(
      fc.record({ hotkey, stakeRao: fc.bigInt({ min: 1_000_000n, max: 9_000_000n }) }),
      { selector: (v) => v.hotkey, minLength: 1, maxLength: 8 },
    )
    fc.assert(
      fc.property(
        enough,
        staked,
        fullness,
        fc.array(fc.integer({ min: -1, max: 1 })),
        (budget, before, full, moves) => {
          const previous = planPartition({ budgetBytes: budget, validators: before, leasedBytes: new Map() })
          const held = previous.shares.map(
            ({ validator, shareBytes }) => [validator, shareBytes * full] as const,
          )
          const after = before.map((validator, index) => ({
            ...validator,
            stakeRao: validator.stakeRao + (validator.stakeRao * BigInt(moves[index] ?? 0)) / 100n,
          }))
          const plan = planPartition({
            budgetBytes: budget,
            validators: after,
            leasedBytes: new Map(held),
            previous,
          })
          assert.equal(plan, previous)
        },
      ),
    )
  })

  it('keeps every promise of a plan when it keeps the previous one', () => {
    fc.assert(
      fc.property(init, init, (first, second) => {
        const previous = planPartition(first)
        const plan = planPartition({ ...second, previous })
        if (plan !== previous) {
          assert.deepEqual(plan, planPartition(second))
          return
        }
        assert.ok(sumOf(plan) <= second.budgetBytes)
        const shares = sharesOf(plan)
        for (const [validator, bytes] of second.leasedBytes) {
          if (bytes > 0) assert.ok((shares.get(validator)?.shareBytes ?? 0) >= bytes)
        }
      }),
    )
  })
})
