/** The rows and keys of a shard's index: round trips, order, and garbage. */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { compare } from 'uint8arrays'
import { isSubnetError } from '../../src/base/errors.js'
import * as codec from '../../src/shard/index-codec.js'

/** Ordinary objects, as the decoders make them. */
const WHOLE = { noNullPrototype: true } as const
const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 })
const serial = fc.uint8Array({ minLength: 16, maxLength: 16 })
const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 })
const block = fc.maxSafeNat()
const expiryEntry = fc.oneof(
  fc.record({ block, kind: fc.constantFrom('chunk', 'lease', 'loss', 'trash'), id: bytes32 }, WHOLE),
  fc.record({ block, kind: fc.constant('order' as const), id: serial }, WHOLE),
)

describe('shard index codec', () => {
  it('reads back every row it writes', () => {
    const chunkRow = fc.record(
      {
        auditRoot: bytes32,
        sizeBytes: u32,
        expiresBlock: block,
        file: u32,
        offset: u32,
      },
      WHOLE,
    )
    fc.assert(fc.property(chunkRow, (row) => same(codec.decodeChunkRow(codec.encodeChunkRow(row)), row)))
    const fileRow = fc.record(
      { lengthBytes: u32, liveBytes: u32, liveChunks: u32, trashBytes: u32, trashChunks: u32 },
      WHOLE,
    )
    fc.assert(fc.property(fileRow, (row) => same(codec.decodeFileRow(codec.encodeFileRow(row)), row)))
    const orderRow = fc.record({ usedBytes: block, expiresBlock: block }, WHOLE)
    fc.assert(fc.property(orderRow, (row) => same(codec.decodeOrderRow(codec.encodeOrderRow(row)), row)))
    const lease = fc.record({ endBlock: block, forgetsBlock: block, bytes: fc.uint8Array() }, WHOLE)
    fc.assert(fc.property(lease, (row) => same(codec.decodeLease(codec.encodeLease(row)), row)))
    const loss = fc.record({ number: block, untilBlock: block }, WHOLE)
    fc.assert(fc.property(loss, (row) => same(codec.decodeLoss(codec.encodeLoss(row)), row)))
    const losses = fc.record({ last: block, listed: block }, WHOLE)
    fc.assert(fc.property(losses, (row) => same(codec.decodeLossCount(codec.encodeLossCount(row)), row)))
  })

  it('reads back every key it writes', () => {
    fc.assert(fc.property(bytes32, (digest) => same(codec.idOfKey(codec.chunkKey(digest)), digest)))
    fc.assert(fc.property(u32, (file) => codec.fileOfKey(codec.fileKey(file)) === file))
    const place = fc.record({ file: u32, offset: u32 }, WHOLE)
    fc.assert(fc.property(place, (at) => same(codec.placeOfKey(codec.memberKey(at)), at)))
    fc.assert(fc.property(expiryEntry, (entry) => same(codec.decodeExpiryKey(codec.expiryKey(entry)), entry)))
  })

  it('sorts expiries by block, and finds exactly those that are due', () => {
    fc.assert(
      fc.property(expiryEntry, fc.nat(), (entry, now) => {
        const { from, before } = (entry.kind === 'trash' ? codec.trashRange : codec.expiryRange)(now)
        const key = codec.expiryKey(entry)
        const due = compare(from, key) <= 0 && compare(key, before) < 0
        assert.equal(due, entry.block <= now)
      }),
    )
  })

  it('answers garbage with DISK and nothing else', () => {
    const decoders = [
      codec.decodeChunkRow,
      codec.decodeFileRow,
      codec.decodeOrderRow,
      codec.decodeLease,
      codec.decodeLoss,
      codec.decodeLossCount,
      codec.decodeExpiryKey,
      codec.placeOfKey,
      codec.fileOfKey,
    ]
    fc.assert(
      fc.property(fc.constantFrom(...decoders), fc.uint8Array({ maxLength: 80 }), (decode, garbage) => {
        try {
          decode(garbage)
        } catch (error) {
          assert.ok(isSubnetError(error, 'DISK'), String(error))
        }
      }),
    )
  })
})

/** Equal by value; for `fc.property`, which fails on false only. */
function same(actual: unknown, expected: unknown): void {
  assert.deepEqual(actual, expected)
}
