import assert from 'node:assert/strict'
import fc from 'fast-check'
import { cut } from '../../../src/transfer/cut.js'

async function* from(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* pieces
}

async function cutAll(pieces: readonly Uint8Array[], sizeBytes: number) {
  const cuts: { readonly bytes: Uint8Array; readonly isLast: boolean }[] = []
  for await (const piece of cut(from(pieces), sizeBytes)) cuts.push(piece)
  return cuts
}

const bytes = (...values: number[]) => Uint8Array.from(values)

describe('cut', () => {
  it('gives nothing for an empty stream, with or without empty pieces', async () => {
    assert.deepEqual(await cutAll([], 4), [])
    assert.deepEqual(await cutAll([bytes(), bytes()], 4), [])
  })

  it('marks a last piece that is exactly full', async () => {
    assert.deepEqual(await cutAll([bytes(1, 2), bytes(3, 4), bytes()], 2), [
      { bytes: bytes(1, 2), isLast: false },
      { bytes: bytes(3, 4), isLast: true },
    ])
  })

  it('cuts any pieces into full ones and a rest, in order', async () => {
    const pieces = fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 12 })
    await fc.assert(
      fc.asyncProperty(pieces, fc.integer({ min: 1, max: 17 }), async (source, sizeBytes) => {
        const whole = source.flatMap((piece) => [...piece])
        const cuts = await cutAll(source, sizeBytes)
        assert.deepEqual(
          cuts.flatMap((each) => [...each.bytes]),
          whole,
        )
        assert.equal(cuts.length, Math.ceil(whole.length / sizeBytes))
        for (const [index, each] of cuts.entries()) {
          assert.equal(each.isLast, index === cuts.length - 1)
          if (!each.isLast) assert.equal(each.bytes.length, sizeBytes)
        }
      }),
      { numRuns: 100 },
    )
  })

  it('gives buffers of its own: what the source or the next piece writes does not change them', async () => {
    const shared = bytes(1, 2)
    async function* reusing() {
      yield shared
      shared.fill(9)
      yield shared
    }
    const cuts: Uint8Array[] = []
    for await (const piece of cut(reusing(), 2)) cuts.push(piece.bytes)
    assert.deepEqual(cuts, [bytes(1, 2), bytes(9, 9)])
  })

  it('holds back one piece at most: the source is not read ahead of what is taken', async () => {
    let read = 0
    async function* counting() {
      for (; read < 100; read += 1) yield bytes(1, 2)
    }
    const pieces = cut(counting(), 2)
    await pieces.next()
    assert.equal(read, 1)
    await pieces.next()
    assert.equal(read, 2)
    await pieces.return(undefined)
  })

  it('ends the source when it is ended early, and fails with it', async () => {
    let ended = false
    async function* source() {
      try {
        yield bytes(1, 2, 3)
        throw new Error('torn')
      } finally {
        ended = true
      }
    }
    const early = cut(source(), 1)
    await early.next()
    await early.return(undefined)
    assert.ok(ended)
    const torn = cut(source(), 2)
    await torn.next()
    await assert.rejects(torn.next(), /torn/)
  })
})
