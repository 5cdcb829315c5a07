/**
 * A Yuma epoch of a full subnet: 256 uids, 64 validators that weigh all of them, bonds from the epoch before. Classic,
 * Yuma3, and Yuma3 with liquid alpha.
 *
 *   npm run build && node dist/bench/yuma.js
 */
import { seededRandom } from '../src/base/random.js'
import { type SparseRow, type YumaInput, yumaEpoch } from '../src/incentive/yuma.js'
import { YUMA_PARAMETERS } from '../test/kit/yuma-input.js'
import { machine, median } from './measure.js'

const UIDS = 256
const VALIDATORS = 64
const ROUNDS = 50

const random = seededRandom('yuma')
const word = (): number => new DataView(random.bytes(2).buffer.slice(0)).getUint16(0)
const fullRow = (): SparseRow => Array.from({ length: UIDS }, (_, uid) => [uid, word()] as const)

const input: YumaInput = {
  block: 1_000,
  bondsSinceBlock: 900,
  neurons: Array.from({ length: UIDS }, (_, uid) => ({
    stakeRao: uid < VALIDATORS ? BigInt(1 + word()) * 10n ** 9n : 0n,
    validatorPermit: uid < VALIDATORS,
    lastUpdateBlock: 990,
    registeredAtBlock: 1,
    weights: uid < VALIDATORS ? fullRow() : [],
    bonds: uid < VALIDATORS ? fullRow() : [],
  })),
  parameters: { ...YUMA_PARAMETERS, maxAllowedValidators: VALIDATORS },
}

const MODES = {
  classic: {},
  yuma3: { yuma3Enabled: true },
  'yuma3, liquid alpha': { yuma3Enabled: true, liquidAlphaEnabled: true },
  'yuma3, liquid alpha, half a penalty': {
    yuma3Enabled: true,
    liquidAlphaEnabled: true,
    bondsPenalty: 32_767,
  },
}

console.log(machine())
for (const [name, parameters] of Object.entries(MODES)) {
  const changed = { ...input, parameters: { ...input.parameters, ...parameters } }
  const samplesMs: number[] = []
  for (let round = 0; round < ROUNDS; round += 1) {
    const startMs = performance.now()
    yumaEpoch(changed)
    samplesMs.push(performance.now() - startMs)
  }
  const first = (samplesMs[0] ?? 0).toFixed(1)
  console.log(
    `${name}: ${median(samplesMs).toFixed(1)} ms (first ${first}, longest ${Math.max(...samplesMs).toFixed(1)})`,
  )
}
