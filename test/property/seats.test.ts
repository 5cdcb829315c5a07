import assert from 'node:assert/strict'
import fc from 'fast-check'
import { seatHeld } from '../../src/transfer/seats.js'

/** A plan of n holders and up to as many spares, where miners may have several seats, and who holds what. */
const world = fc.integer({ min: 1, max: 8 }).chain((n) =>
  fc.record({
    holders: fc.array(fc.nat(5), { minLength: n, maxLength: n }),
    spares: fc.array(fc.nat(5), { maxLength: n }),
    held: fc.array(fc.tuple(fc.nat(5), fc.nat(n - 1)), { maxLength: 20 }),
  }),
)

const sorted = (list: readonly number[]) => [...list].sort((a, b) => a - b)

describe('the seats of a put that comes back', () => {
  it('are those of the plan, each used once, whoever holds what', () => {
    fc.assert(
      fc.property(world, ({ holders, spares, held }) => {
        const holds = (candidate: number, chunk: number) =>
          held.some(([a, b]) => a === candidate && b === chunk)
        const seating = seatHeld({ holders, spares }, holds)
        assert.equal(seating.holders.length, holders.length)
        assert.deepEqual(sorted([...seating.holders, ...seating.spares]), sorted([...holders, ...spares]))
        for (const chunk of seating.held) assert.ok(holds(seating.holders[chunk] as number, chunk))
        for (const [chunk, holder] of holders.entries()) {
          if (holds(holder, chunk)) assert.ok(seating.held.has(chunk) && seating.holders[chunk] === holder)
        }
      }),
    )
  })

  it('are the plan itself when nobody holds anything', () => {
    fc.assert(
      fc.property(world, ({ holders, spares }) => {
        assert.deepEqual(
          seatHeld({ holders, spares }, () => false),
          { holders, spares, held: new Set() },
        )
      }),
    )
  })
})
