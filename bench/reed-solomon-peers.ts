/** The npm packages that `reed-solomon.ts` compares with, as their documentation says to use them. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { Code } from '../src/redundancy/profiles.js'

/** A coder that has a code's data chunks and is ready to be timed. */
export interface Subject {
  encode(): Promise<void>
  /** All data chunks out of the parity alone. */
  decode(): Promise<void>
  /** The data chunks that `decode` gave last. */
  decoded(): Uint8Array[]
}

export interface Coder {
  readonly name: string
  /** `undefined`: it cannot do this code. */
  prepare(code: Code, data: readonly Uint8Array[]): Subject | undefined
}

/** Where the packages are: a folder of their own, for the project does not depend on them. */
export const PEERS_PATH = 'bench/reed-solomon-npm'

/** The packages installed there; a native one may lack its binary. */
export function installedPeers(): Coder[] {
  const require = createRequire(join(process.cwd(), PEERS_PATH, 'package.json'))
  return [wasmPeer, nativePeer].flatMap((peer) => {
    try {
      return [peer(require)]
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error
      return []
    }
  })
}

interface WasmPackage {
  readonly ReedSolomonErasure: { fromBytes(bytes: Uint8Array): WasmCoder }
}

interface WasmCoder {
  encode(shards: Uint8Array, data: number, parity: number): number
  reconstruct(shards: Uint8Array, data: number, parity: number, available: boolean[]): number
}

/** reed-solomon-erasure of Rust, compiled to WASM. */
function wasmPeer(require: NodeJS.Require): Coder {
  const { ReedSolomonErasure } = require('@subspace/reed-solomon-erasure.wasm') as WasmPackage
  const module = require.resolve('@subspace/reed-solomon-erasure.wasm/dist/reed_solomon_erasure_bg.wasm')
  const coder = ReedSolomonErasure.fromBytes(readFileSync(module))
  return {
    name: '@subspace wasm',
    prepare({ k, n }, data) {
      const chunkBytes = data[0]?.length ?? 0
      const shards = new Uint8Array(n * chunkBytes)
      for (const [i, chunk] of data.entries()) shards.set(chunk, i * chunkBytes)
      const available = Array.from({ length: n }, (_, i) => i >= k)
      return {
        encode: async () => expectZero(coder.encode(shards, k, n - k)),
        decode: async () => expectZero(coder.reconstruct(shards, k, n - k, available)),
        decoded: () => data.map((_, i) => shards.subarray(i * chunkBytes, (i + 1) * chunkBytes)),
      }
    },
  }
}

function expectZero(result: number): void {
  if (result !== 0) throw new Error(`the package answers ${result}`)
}

interface NativePackage {
  readonly MAX_K: number
  readonly MAX_M: number
  create(k: number, m: number): object
  encode(...call: [...NativeCall, (error?: Error) => void]): void
}

type NativeCall = [
  context: object,
  sources: number,
  targets: number,
  data: Buffer,
  dataOffset: number,
  dataBytes: number,
  parity: Buffer,
  parityOffset: number,
  parityBytes: number,
]

/** An addon in C, on a thread of its own; it makes at most six parity chunks. */
function nativePeer(require: NodeJS.Require): Coder {
  const coder = require('@ronomon/reed-solomon') as NativePackage
  return {
    name: '@ronomon native',
    prepare({ k, n }, data) {
      if (k > coder.MAX_K || n - k > coder.MAX_M) return undefined
      const context = coder.create(k, n - k)
      const buffer = Buffer.concat(data)
      const chunkBytes = buffer.length / k
      const parity = Buffer.alloc((n - k) * chunkBytes)
      const dataBits = 2 ** k - 1
      const parityBits = 2 ** n - 1 - dataBits
      const run = (sources: number, targets: number): Promise<void> =>
        new Promise((resolve, reject) => {
          const call: NativeCall = [
            context,
            sources,
            targets,
            buffer,
            0,
            buffer.length,
            parity,
            0,
            parity.length,
          ]
          coder.encode(...call, (error) => (error ? reject(error) : resolve()))
        })
      return {
        encode: () => run(dataBits, parityBits),
        decode: () => run(parityBits, dataBits),
        decoded: () => data.map((_, i) => buffer.subarray(i * chunkBytes, (i + 1) * chunkBytes)),
      }
    },
  }
}
