/**
 * Reed–Solomon by our two kernels and by npm packages, chunks of 1 MiB: encoding all parity, and decoding all data from
 * parity alone, the worst case.
 *
 *   npm ci --prefix bench/reed-solomon-npm && node dist/bench/reed-solomon.js
 */
import { seededRandom } from '../src/base/random.js'
import { MIB } from '../src/base/units.js'
import { multiplyRowsPlain } from '../src/redundancy/plain-kernel.js'
import { type Code, PROFILES } from '../src/redundancy/profiles.js'
import { encodeParity, reconstruct } from '../src/redundancy/reed-solomon.js'
import { simdEngine } from '../src/redundancy/simd-kernel.js'
import { machine, median, medianRatio, peakMiB, type Sample, sample, table } from './measure.js'
import { type Coder, installedPeers, PEERS_PATH, type Subject } from './reed-solomon-peers.js'

const ROUNDS = 5
/** Data that one sample codes: long enough for the clock, over and over the same chunks. */
const SAMPLE_BYTES = 40 * MIB

/** As the product runs it: the SIMD kernel, tables and matrix inversion included. */
const simd: Coder = {
  name: 'SIMD',
  prepare(code, data) {
    const parity = encodeParity(data, code)
    const present = [...data.map(() => undefined), ...parity]
    const wanted = [...data.keys()]
    let decoded: Uint8Array[] = []
    return {
      encode: async () => void encodeParity(data, code),
      decode: async () => {
        decoded = reconstruct(present, code, MIB, wanted)
      },
      decoded: () => decoded,
    }
  },
}

/** The kernel for engines without SIMD, with the rows given. */
const plain: Coder = {
  name: 'plain JS',
  prepare(code, data) {
    const { k } = code
    // Coded unit vectors are the rows.
    const units = data.map((_, j) => Uint8Array.from({ length: k }, (_, i) => (i === j ? 1 : 0)))
    const encodeRows = encodeParity(units, code)
    const survivors = encodeParity(data, code).slice(0, k)
    const decodeRows = reconstruct([...data.map(() => undefined), ...units], code, k, [...data.keys()])
    let decoded: Uint8Array[] = []
    return {
      encode: async () => void multiplyRowsPlain(encodeRows, data, MIB),
      decode: async () => {
        decoded = multiplyRowsPlain(decodeRows, survivors, MIB)
      },
      decoded: () => decoded,
    }
  },
}

if (simdEngine() === undefined) throw new Error('this engine has no WASM SIMD')
const peers = installedPeers()
if (peers.length === 0) console.log(`npm packages: pending: run npm ci in ${PEERS_PATH}`)
const coders = [plain, simd, ...peers]
const random = seededRandom('reed-solomon')
const speeds = [['MB/s of data', ...coders.map(({ name }) => name), 'SIMD ÷ plain', 'SIMD ÷ best npm']]
const costs = [['CPU s per GB', ...coders.map(({ name }) => name), 'plain ÷ SIMD', 'best npm ÷ SIMD']]
for (const code of [PROFILES.small, PROFILES.standard, PROFILES.high, PROFILES.large]) {
  const data = Array.from({ length: code.k }, () => random.bytes(MIB))
  const subjects = coders.map((coder) => coder.prepare(code, data))
  for (const what of ['encode', 'decode'] as const) {
    const samples = await interleaved(subjects, what, code)
    for (const subject of what === 'decode' ? subjects : []) check(subject, data)
    const label = `${code.k}/${code.n} ${what}`
    const gigabytes = (calls(code) * code.k * MIB) / 1e9
    speeds.push([
      label,
      ...row(
        samples,
        ({ seconds }) => seconds,
        (seconds) => ((gigabytes / seconds) * 1000).toFixed(0),
      ),
    ])
    costs.push([
      label,
      ...row(
        samples,
        ({ cpuSeconds }) => cpuSeconds,
        (seconds) => (seconds / gigabytes).toFixed(2),
      ),
    ])
  }
}
console.log(`${ROUNDS} interleaved rounds, medians; ${machine()}`)
console.log(`\n${table(speeds)}\n\n${table(costs)}`)
console.log(`\npeak memory, all coders in one process: ${peakMiB('self').toFixed(0)} MiB`)

function calls(code: Code): number {
  return Math.ceil(SAMPLE_BYTES / (code.k * MIB))
}

/** Samples of each coder, one of each in turn; a first round warms up and does not count. */
async function interleaved(
  subjects: readonly (Subject | undefined)[],
  what: 'encode' | 'decode',
  code: Code,
): Promise<Sample[][]> {
  const samples: Sample[][] = subjects.map(() => [])
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const [i, subject] of subjects.entries()) {
      if (subject === undefined) continue
      const taken = await sample(async () => {
        for (let call = 0; call < calls(code); call += 1) await subject[what]()
      })
      if (round > 0) samples[i]?.push(taken)
    }
  }
  return samples
}

function check(subject: Subject | undefined, data: readonly Uint8Array[]): void {
  for (const [i, chunk] of (subject?.decoded() ?? []).entries()) {
    if (Buffer.compare(chunk, data[i] ?? new Uint8Array(0)) !== 0)
      throw new Error(`chunk ${i} came back wrong`)
  }
}

/** One figure per coder, and how many times the SIMD kernel's seconds the plain one and the best package took. */
function row(
  samples: readonly Sample[][],
  secondsOf: (one: Sample) => number,
  figure: (seconds: number) => string,
): string[] {
  const seconds = samples.map((own) => own.map(secondsOf))
  const [plainSeconds = [], simdSeconds = [], ...peerSeconds] = seconds
  const best = Math.min(
    ...peerSeconds.filter((own) => own.length > 0).map((own) => medianRatio(own, simdSeconds)),
  )
  return [
    ...seconds.map((own) => (own.length === 0 ? '–' : figure(median(own)))),
    medianRatio(plainSeconds, simdSeconds).toFixed(1),
    Number.isFinite(best) ? best.toFixed(1) : 'pending',
  ]
}
