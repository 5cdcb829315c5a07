/**
 * The WASM-SIMD inner loop, written out as the bytes of a module (WebAssembly Core Specification 2.0, chapter 5): a few
 * dozen instructions, so no assembler is needed, at build time or ever. Memory and tables are `simd-kernel.ts`; why it
 * is made here and not compiled from a .wat file: docs/decisions, "rs-kernel".
 *
 * A byte's product with a constant is T₀[low nibble] ⊕ T₁[high nibble], two tables of 16 bytes. `i8x16.swizzle` looks up
 * 16 bytes at once. Up to three rows share an input's nibbles, and two vectors of 16 bytes share the load of a table:
 * that is what fits into 16 registers, and measured best.
 */

/** Most rows that one call computes; there is one function for each number of rows from 1. */
export const ROWS_MAX = 3
/**
 * From one input's, or one output's, block to the next one's in memory: 16 KiB of bytes measured best, and a cache line
 * between them, without which all blocks would want the same few lines of the cache.
 */
export const STRIDE_BYTES = 16_448
/** The two tables of one coefficient. */
export const TABLES_BYTES = 32

/**
 * What the module exports beside `memory`: computes the blocks of its rows one after another at `outputs`, out of the
 * blocks from `inputs` up to `inputsEnd` (at least one). `tables` has for each input in order T₀ and T₁ of each row's
 * coefficient. All are addresses in `memory`; `lengthBytes` of each block count, rounded up to whole 32 bytes.
 */
export type RowsFunction = (
  tables: number,
  inputs: number,
  inputsEnd: number,
  outputs: number,
  lengthBytes: number,
) => void

export function rowsFunctionName(rows: number): string {
  return `rows${rows}`
}

const VECTOR_BYTES = 16
/** Vectors of each row at once. */
const VECTORS = 2

/**
 * `relaxed` takes `i8x16.relaxed_swizzle`, which differs only for indexes of 16 and more, and here there are none: it
 * saves x86 an instruction in four, on engines that have it.
 */
export function simdModule({ relaxed }: { readonly relaxed: boolean }): Uint8Array<ArrayBuffer> {
  const bodies = Array.from({ length: ROWS_MAX }, (_, i) =>
    rowsBody(i + 1, relaxed ? RELAXED_SWIZZLE : SWIZZLE),
  )
  const functions = bodies.map((_, i) => [...name(rowsFunctionName(i + 1)), 0x00, ...unsigned(i)])
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d], // magic
    ...[0x01, 0x00, 0x00, 0x00], // version
    ...section(1, [[0x60, ...vector([[I32], [I32], [I32], [I32], [I32]]), ...vector([])]]),
    ...section(
      3,
      bodies.map(() => [0x00]), // each has the one type
    ),
    ...section(5, [[0x00, ...unsigned(1)]]), // a memory, one page to begin with
    ...section(7, [[...name('memory'), 0x02, 0x00], ...functions]),
    ...section(
      10,
      bodies.map((body) => [...unsigned(body.length), ...body]),
    ),
  ])
}

type Bytes = readonly number[]

/** Locals 0–4 are the parameters of `RowsFunction`. */
const [TABLES, INPUTS, INPUTS_END, OUTPUTS, LENGTH] = [0, 1, 2, 3, 4] as const
const [POSITION, TABLE_AT, INPUT_AT] = [5, 6, 7] as const
const [NIBBLES, TABLE] = [8, 9] as const
const FIRST_VECTOR = 10

/** One function: for every 32 bytes of a block, for every input, add its products to the sums of all rows. */
function rowsBody(rows: number, swizzle: Bytes): number[] {
  const vectors = range(VECTORS)
  const low = (v: number): number => FIRST_VECTOR + v
  const high = (v: number): number => FIRST_VECTOR + VECTORS + v
  const sum = (row: number, v: number): number => FIRST_VECTOR + (2 + row) * VECTORS + v
  const sums = range(rows).flatMap((row) => vectors.map((v) => ({ local: sum(row, v), row, v })))
  const nibbles = vectors.flatMap((v) => [
    ...[...get(INPUT_AT), ...load(v * VECTOR_BYTES), ...tee(low(v))],
    ...[...constant(4), ...SHIFT_RIGHT, ...get(NIBBLES), ...AND, ...set(high(v))],
    ...[...get(low(v)), ...get(NIBBLES), ...AND, ...set(low(v))],
  ])
  const addProducts = (row: number, half: number): Bytes => [
    ...[...get(TABLE_AT), ...load(row * TABLES_BYTES + half * VECTOR_BYTES), ...set(TABLE)],
    ...vectors.flatMap((v) => [
      ...[...get(TABLE), ...get(half === 0 ? low(v) : high(v)), ...swizzle],
      ...[...get(sum(row, v)), ...XOR, ...set(sum(row, v))],
    ]),
  ]
  const eachInput = [
    ...nibbles,
    ...range(rows).flatMap((row) => [...addProducts(row, 0), ...addProducts(row, 1)]),
    ...[...get(TABLE_AT), ...constant(rows * TABLES_BYTES), ...ADD, ...set(TABLE_AT)],
    ...[...get(INPUT_AT), ...constant(STRIDE_BYTES), ...ADD, ...tee(INPUT_AT)],
  ]
  const eachPosition = [
    ...sums.flatMap(({ local }) => [...ZERO, ...set(local)]),
    ...[...get(TABLES), ...set(TABLE_AT)],
    ...[...get(INPUTS), ...get(POSITION), ...ADD, ...set(INPUT_AT)],
    ...repeatWhileBelow(INPUTS_END, eachInput),
    ...sums.flatMap(({ local, row, v }) => [
      ...[...get(OUTPUTS), ...get(POSITION), ...ADD],
      ...[...get(local), ...store(row * STRIDE_BYTES + v * VECTOR_BYTES)],
    ]),
    ...[...get(POSITION), ...constant(VECTORS * VECTOR_BYTES), ...ADD, ...tee(POSITION)],
  ]
  return [
    ...vector([
      [...unsigned(INPUT_AT - LENGTH), I32],
      [...unsigned(sum(rows, 0) - NIBBLES), V128],
    ]),
    ...[...constant(0x0f), ...SPLAT, ...set(NIBBLES)],
    ...repeatWhileBelow(LENGTH, eachPosition),
    END,
  ]
}

/** Runs `body`, which leaves a number, at least once, and again while the number is below the local's. */
function repeatWhileBelow(limit: number, body: Bytes): Bytes {
  return [...[0x03, 0x40], ...body, ...get(limit), ...LESS_UNSIGNED, ...[0x0d, 0x00], END]
}

const I32 = 0x7f
const V128 = 0x7b
const END = 0x0b
const ADD = [0x6a]
const LESS_UNSIGNED = [0x49]
const XOR = simd(0x51)
const AND = simd(0x4e)
/** Of eight numbers of 16 bits: what crosses a byte is masked away after it. */
const SHIFT_RIGHT = simd(0x8d)
const SPLAT = simd(0x0f)
const ZERO = [...simd(0x0c), ...new Uint8Array(VECTOR_BYTES)]
const SWIZZLE = simd(0x0e)
const RELAXED_SWIZZLE = simd(0x100)

function simd(opcode: number): Bytes {
  return [0xfd, ...unsigned(opcode)]
}

function load(offset: number): Bytes {
  return [...simd(0x00), 0x00, ...unsigned(offset)]
}

function store(offset: number): Bytes {
  return [...simd(0x0b), 0x00, ...unsigned(offset)]
}

function get(local: number): Bytes {
  return [0x20, ...unsigned(local)]
}

function set(local: number): Bytes {
  return [0x21, ...unsigned(local)]
}

function tee(local: number): Bytes {
  return [0x22, ...unsigned(local)]
}

/** `i32.const` of a number from 0 to 2²⁰: signed LEB128, so the last byte leaves its sign bit clear. */
function constant(value: number): Bytes {
  const bytes = unsigned(value)
  const last = bytes.at(-1) ?? 0
  return [0x41, ...(last < 0x40 ? bytes : [...bytes.slice(0, -1), last | 0x80, 0x00])]
}

function unsigned(value: number): Bytes {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)]
}

function vector(items: readonly Bytes[]): Bytes {
  return [...unsigned(items.length), ...items.flat()]
}

function section(id: number, items: readonly Bytes[]): Bytes {
  const content = vector(items)
  return [id, ...unsigned(content.length), ...content]
}

function name(text: string): Bytes {
  return [...unsigned(text.length), ...new TextEncoder().encode(text)]
}

function range(length: number): number[] {
  return Array.from({ length }, (_, i) => i)
}
