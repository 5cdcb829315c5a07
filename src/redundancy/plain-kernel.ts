/**
 * The coder's inner loop in plain JavaScript, for engines without WASM SIMD; `matrix-kernel.ts` chooses between this and
 * `simd-kernel.ts`, which gives the same bytes.
 *
 * Four rows are computed at once: a table entry packs the products of one input byte with four rows' coefficients
 * into 32 bits, so one look-up serves four outputs. Work goes block by block through scratch that stays in the cache,
 * which also makes every input aligned and zero-padded.
 */
import { multiply } from './galois.js'

/** Rows, and inputs, handled together. */
const LANES = 4
const BLOCK_BYTES = 4096
const BLOCK_WORDS = BLOCK_BYTES / 4
/** A table serves four inputs: 256 entries each. */
const TABLE_ENTRIES = 256 * LANES

/** As `multiplyRows` of `matrix-kernel.ts`. */
export function multiplyRowsPlain(
  rows: readonly Uint8Array[],
  inputs: readonly Uint8Array[],
  lengthBytes: number,
): Uint8Array[] {
  const outputs = rows.map(() => new Uint8Array(lengthBytes))
  const groups = packRows(rows, inputs.length)
  const inputGroups = Math.ceil(inputs.length / LANES)
  const words = new Uint32Array(inputGroups * LANES * BLOCK_WORDS)
  const sums = new Uint32Array(BLOCK_BYTES)
  const results = new Uint32Array(LANES * BLOCK_WORDS)
  const resultBytes = new Uint8Array(results.buffer)
  for (let start = 0; start < lengthBytes; start += BLOCK_BYTES) {
    const blockBytes = Math.min(BLOCK_BYTES, lengthBytes - start)
    loadBlock(new Uint8Array(words.buffer), inputs, start, blockBytes)
    for (const [group, tables] of groups.entries()) {
      sums.fill(0)
      for (const [lane, table] of tables.entries())
        addProducts(sums, table, words, lane * LANES * BLOCK_WORDS)
      unpackSums(results, sums)
      for (let lane = 0; lane < LANES; lane++) {
        const block = resultBytes.subarray(lane * BLOCK_BYTES, lane * BLOCK_BYTES + blockBytes)
        outputs[group * LANES + lane]?.set(block, start)
      }
    }
  }
  return outputs
}

/** Tables by group of four rows, then by group of four inputs. Missing rows and inputs have zero coefficients. */
function packRows(rows: readonly Uint8Array[], inputs: number): Uint32Array[][] {
  const groups: Uint32Array[][] = []
  for (let firstRow = 0; firstRow < rows.length; firstRow += LANES) {
    const tables: Uint32Array[] = []
    for (let firstInput = 0; firstInput < inputs; firstInput += LANES) {
      tables.push(packTable(rows.slice(firstRow, firstRow + LANES), firstInput))
    }
    groups.push(tables)
  }
  return groups
}

function packTable(rows: readonly Uint8Array[], firstInput: number): Uint32Array {
  const table = new Uint32Array(TABLE_ENTRIES)
  for (let entry = 0; entry < TABLE_ENTRIES; entry++) {
    let packed = 0
    for (const [lane, row] of rows.entries()) {
      packed |= multiply(row[firstInput + (entry >>> 8)] ?? 0, entry & 0xff) << (8 * lane)
    }
    table[entry] = packed
  }
  return table
}

function loadBlock(
  scratch: Uint8Array,
  inputs: readonly Uint8Array[],
  start: number,
  blockBytes: number,
): void {
  for (const [j, input] of inputs.entries()) {
    const block = scratch.subarray(j * BLOCK_BYTES, (j + 1) * BLOCK_BYTES)
    const part = input.subarray(start, start + blockBytes)
    block.set(part)
    block.fill(0, part.length)
  }
}

/** Adds the packed products of four input blocks, whose words start at `first`, to the sums: one per byte of a block. */
function addProducts(sums: Uint32Array, table: Uint32Array, words: Uint32Array, first: number): void {
  for (let i = 0, p = 0; i < BLOCK_WORDS; i++, p += 4) {
    const a = at(words, first + i)
    const b = at(words, first + BLOCK_WORDS + i)
    const c = at(words, first + 2 * BLOCK_WORDS + i)
    const d = at(words, first + 3 * BLOCK_WORDS + i)
    sums[p] = at(sums, p) ^ products(table, a, b, c, d)
    sums[p + 1] = at(sums, p + 1) ^ products(table, a >>> 8, b >>> 8, c >>> 8, d >>> 8)
    sums[p + 2] = at(sums, p + 2) ^ products(table, a >>> 16, b >>> 16, c >>> 16, d >>> 16)
    sums[p + 3] = at(sums, p + 3) ^ products(table, a >>> 24, b >>> 24, c >>> 24, d >>> 24)
  }
}

/** Four rows' sum over four inputs, whose bytes are the low ones of a, b, c, d. */
function products(table: Uint32Array, a: number, b: number, c: number, d: number): number {
  return (
    at(table, a & 0xff) ^
    at(table, 0x100 | (b & 0xff)) ^
    at(table, 0x200 | (c & 0xff)) ^
    at(table, 0x300 | (d & 0xff))
  )
}

/** Transposes: four sums hold four bytes of four rows each; the results hold each row's four bytes as one word. */
function unpackSums(results: Uint32Array, sums: Uint32Array): void {
  for (let i = 0, p = 0; i < BLOCK_WORDS; i++, p += 4) {
    const a = at(sums, p)
    const b = at(sums, p + 1)
    const c = at(sums, p + 2)
    const d = at(sums, p + 3)
    const even = (a & 0xff00ff) | ((b & 0xff00ff) << 8)
    const odd = ((a >>> 8) & 0xff00ff) | (b & 0xff00ff00)
    const evenHigh = (c & 0xff00ff) | ((d & 0xff00ff) << 8)
    const oddHigh = ((c >>> 8) & 0xff00ff) | (d & 0xff00ff00)
    results[i] = (even & 0xffff) | (evenHigh << 16)
    results[BLOCK_WORDS + i] = (odd & 0xffff) | (oddHigh << 16)
    results[2 * BLOCK_WORDS + i] = (even >>> 16) | (evenHigh & 0xffff0000)
    results[3 * BLOCK_WORDS + i] = (odd >>> 16) | (oddHigh & 0xffff0000)
  }
}

/** An element the caller knows to exist: every index above is below its array's fixed length. */
function at(values: Uint32Array, index: number): number {
  return values[index] as number
}
