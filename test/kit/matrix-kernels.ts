/** Every implementation of `multiplyRows` that this engine can run, so that all are held to the same tests. */
import { multiplyRowsPlain } from '../../src/redundancy/plain-kernel.js'
import { instantiate, multiplyRowsSimd } from '../../src/redundancy/simd-kernel.js'
import { simdModule } from '../../src/redundancy/simd-module.js'

export interface NamedKernel {
  readonly name: string
  readonly multiply: typeof multiplyRowsPlain
}

export function kernels(): NamedKernel[] {
  const simd = [
    { name: 'SIMD', bytes: simdModule({ relaxed: false }) },
    { name: 'relaxed SIMD', bytes: simdModule({ relaxed: true }) },
  ]
  const runnable = simd
    .filter(({ bytes }) => WebAssembly.validate(bytes))
    .map(({ name, bytes }): NamedKernel => {
      const engine = instantiate(bytes)
      return { name, multiply: (...call) => multiplyRowsSimd(engine, ...call) }
    })
  return [{ name: 'plain', multiply: multiplyRowsPlain }, ...runnable]
}
