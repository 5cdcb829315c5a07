/** Test vectors from test/vectors, read from the source tree: the compiler does not copy JSON. */
import { readFileSync } from 'node:fs'

export function readVectors<T>(name: string): T {
  return JSON.parse(readFileSync(`test/vectors/${name}.json`, 'utf8')) as T
}

export function unhex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'hex'))
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
