/**
 * The coder's inner loop on WASM SIMD: brings rows, tables and blocks of bytes into the module's memory and the sums
 * out of it. The loop itself is `simd-module.ts`.
 */
import { multiply } from './galois.js'
import {
  ROWS_MAX,
  type RowsFunction,
  rowsFunctionName,
  STRIDE_BYTES,
  simdModule,
  TABLES_BYTES,
} from './simd-module.js'

const BLOCK_BYTES = 16_384
const PAGE_BYTES = 65_536

/** An instance of the module. Its memory is scratch: nothing in it is read after the call that wrote it. */
export interface SimdEngine {
  readonly memory: WebAssembly.Memory
  /** At place r − 1 the function for r rows. */
  readonly functions: readonly RowsFunction[]
  /** T₀ and T₁ of every coefficient, in order. */
  readonly tables: Uint8Array
}

let cached: { readonly engine: SimdEngine | undefined } | undefined

/** The one instance of this thread, made when first asked for; `undefined` if this machine has no WASM SIMD. */
export function simdEngine(): SimdEngine | undefined {
  cached ??= { engine: createEngine() }
  return cached.engine
}

/** Relaxed where there is such a thing. */
function createEngine(): SimdEngine | undefined {
  if (typeof WebAssembly === 'undefined') return undefined
  const bytes = [true, false].map((relaxed) => simdModule({ relaxed })).find((b) => WebAssembly.validate(b))
  return bytes === undefined ? undefined : instantiate(bytes)
}

/** From the bytes of a module made by `simdModule`. */
export function instantiate(bytes: Uint8Array<ArrayBuffer>): SimdEngine {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes))
  const functions = Array.from(
    { length: ROWS_MAX },
    (_, i) => exports[rowsFunctionName(i + 1)] as RowsFunction,
  )
  const tables = new Uint8Array(256 * TABLES_BYTES)
  for (let coefficient = 0; coefficient < 256; coefficient++) {
    for (let nibble = 0; nibble < 16; nibble++) {
      tables[coefficient * TABLES_BYTES + nibble] = multiply(coefficient, nibble)
      tables[coefficient * TABLES_BYTES + 16 + nibble] = multiply(coefficient, nibble << 4)
    }
  }
  return { memory: exports.memory as WebAssembly.Memory, functions, tables }
}

/** Rows computed together. */
interface RowGroup {
  readonly firstRow: number
  readonly rows: number
  readonly tablesAt: number
}

/** As `multiplyRows` of `matrix-kernel.ts`. */
export function multiplyRowsSimd(
  engine: SimdEngine,
  rows: readonly Uint8Array[],
  inputs: readonly Uint8Array[],
  lengthBytes: number,
): Uint8Array[] {
  const outputs = rows.map(() => new Uint8Array(lengthBytes))
  const inputsAt = rows.length * inputs.length * TABLES_BYTES
  const outputsAt = inputsAt + inputs.length * STRIDE_BYTES
  const memory = scratch(engine.memory, outputsAt + ROWS_MAX * STRIDE_BYTES)
  const groups = loadTables(memory, engine.tables, rows)
  for (let start = 0; start < lengthBytes; start += BLOCK_BYTES) {
    const blockBytes = Math.min(BLOCK_BYTES, lengthBytes - start)
    for (const [j, input] of inputs.entries()) {
      const block = memory.subarray(inputsAt + j * STRIDE_BYTES, inputsAt + (j + 1) * STRIDE_BYTES)
      const part = input.subarray(start, start + blockBytes)
      block.set(part)
      block.fill(0, part.length, blockBytes)
    }
    for (const group of groups) {
      engine.functions[group.rows - 1]?.(group.tablesAt, inputsAt, outputsAt, outputsAt, blockBytes)
      for (let i = 0; i < group.rows; i++) {
        const at = outputsAt + i * STRIDE_BYTES
        outputs[group.firstRow + i]?.set(memory.subarray(at, at + blockBytes), start)
      }
    }
  }
  return outputs
}

function scratch(memory: WebAssembly.Memory, lengthBytes: number): Uint8Array {
  const missing = lengthBytes - memory.buffer.byteLength
  if (missing > 0) memory.grow(Math.ceil(missing / PAGE_BYTES))
  return new Uint8Array(memory.buffer)
}

/** Writes the tables of all coefficients to the start of the memory, as the functions read them. */
function loadTables(memory: Uint8Array, tables: Uint8Array, rows: readonly Uint8Array[]): RowGroup[] {
  const groups: RowGroup[] = []
  let at = 0
  for (let firstRow = 0; firstRow < rows.length; firstRow += ROWS_MAX) {
    const group = rows.slice(firstRow, firstRow + ROWS_MAX)
    groups.push({ firstRow, rows: group.length, tablesAt: at })
    for (let j = 0; j < (group[0]?.length ?? 0); j++) {
      for (const row of group) {
        const coefficient = row[j] as number
        memory.set(tables.subarray(coefficient * TABLES_BYTES, (coefficient + 1) * TABLES_BYTES), at)
        at += TABLES_BYTES
      }
    }
  }
  return groups
}
