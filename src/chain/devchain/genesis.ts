/**
 * What a devchain starts from, and the hash that names it. Genesis is a function of its spec alone: whoever has the
 * spec can check the name. The hash is tagged and is never one of a public network's.
 */
import { encode } from '@ipld/dag-cbor'
import { toString as bytesToText } from 'uint8arrays'
import * as z from 'zod'
import { SubnetError } from '../../base/errors.js'
import { sha256 } from '../../crypto/hash.js'
import { fromSs58 } from '../../crypto/keys.js'
import type { ChainConstants } from '../chain.js'
import { publicNetwork } from '../public-networks.js'
import type { ParameterOverrides } from './parameters.js'

/** In front of everything a devchain hashes or a hotkey signs for it. */
export const DEVCHAIN_TAG = 'subnet-devchain/2'

/** As on the real chain: the largest subnet, the validators it permits, the supply the faucet starts with. */
export const UIDS_MAX = 256
export const VALIDATORS_MAX = 64
export const SUPPLY_RAO = 21_000_000n * 1_000_000_000n

/** Local networks: one block a second, an epoch every 20. */
export const DEVCHAIN_DEFAULTS = { blockMs: 1_000, tempo: 20, netuid: 1 } as const

export interface GenesisNeuron {
  /** SS58. */
  readonly hotkey: string
  /** SS58. */
  readonly coldkey: string
  readonly stakeRao: bigint
}

export interface GenesisSpec {
  /** Tells two devchains with equal settings apart; what is signed for one is worthless on the other. */
  readonly name: string
  readonly netuid: number
  readonly blockMs: number
  /** Blocks per epoch. */
  readonly tempo: number
  /** Registered from block 0, uid by position. */
  readonly neurons: readonly GenesisNeuron[]
  /** Of the first subnet; without one, nobody may change its parameters. */
  readonly owner?: { readonly coldkey: string; readonly hotkey: string }
  /** Other than the real chain's, for every subnet. */
  readonly parameters?: ParameterOverrides
}

const u16 = z.int().min(0).max(0xffff)
const rao = z
  .bigint()
  .nonnegative()
  .max(2n ** 64n - 1n)
const address = z.string().refine(isAddress, 'not an SS58 address')
const specSchema = z.strictObject({
  name: z.string().min(1).max(64),
  netuid: z.int().min(1).max(0xffff),
  blockMs: z.int().min(10).max(600_000),
  tempo: z.int().min(1).max(0xffff),
  neurons: z
    .array(z.strictObject({ hotkey: address, coldkey: address, stakeRao: z.bigint().nonnegative() }))
    .max(UIDS_MAX)
    .refine((neurons) => new Set(neurons.map((neuron) => neuron.hotkey)).size === neurons.length, {
      message: 'a hotkey is listed twice',
    })
    .refine((neurons) => neurons.reduce((sum, neuron) => sum + neuron.stakeRao, 0n) <= SUPPLY_RAO, {
      message: 'the stakes exceed the supply',
    }),
  owner: z.strictObject({ coldkey: address, hotkey: address }).exactOptional(),
  parameters: z
    .strictObject({
      kappa: u16,
      immunityPeriodBlocks: u16,
      minAllowedWeights: u16,
      maxWeightsLimit: u16,
      activityCutoffBlocks: u16,
      weightsVersion: rao,
      weightsRateLimitBlocks: u16,
      commitRevealEnabled: z.boolean(),
      revealPeriodEpochs: z.int().min(1).max(100),
      yuma3Enabled: z.boolean(),
      liquidAlphaEnabled: z.boolean(),
      alphaLow: u16,
      alphaHigh: u16,
      alphaSigmoidSteepness: z.int().min(0).max(0x7fff),
      bondsMovingAverage: z.int().min(0).max(1_000_000),
      bondsPenalty: u16,
      maxAllowedUids: z.int().min(1).max(UIDS_MAX),
      maxAllowedValidators: z.int().min(0).max(UIDS_MAX),
      registrationAllowed: z.boolean(),
      minBurnRao: rao,
      maxBurnRao: rao,
      stakeThresholdRao: rao,
      servingRateLimitBlocks: u16,
      burnHalfLifeBlocks: z.int().min(1).max(0xffff),
      minNonImmuneUids: u16,
    })
    .partial()
    .exactOptional(),
})

function isAddress(text: string): boolean {
  try {
    fromSs58(text)
    return true
  } catch {
    // The only thing asked here is whether it decodes; the schema's message says what was expected.
    return false
  }
}

/** The constants of the chain that starts from `spec`; throws `CONFIG` when the spec makes no sense. */
export function genesisConstants(spec: GenesisSpec): ChainConstants {
  const checked = specSchema.safeParse(spec)
  if (!checked.success) {
    throw new SubnetError('CONFIG', `this is no devchain genesis: ${z.prettifyError(checked.error)}`)
  }
  const { netuid, blockMs, tempo } = checked.data
  const hash = sha256(encode({ tag: `${DEVCHAIN_TAG}/genesis`, ...checked.data }))
  return { genesisHash: `0x${bytesToText(hash, 'base16')}`, netuid, blockMs, tempo }
}

/** Throws `CHAIN_REFUSED` when the hash names a public network. */
export function refusePublicGenesis(genesisHash: string): void {
  const network = publicNetwork(genesisHash)
  if (network === undefined) return
  throw new SubnetError('CHAIN_REFUSED', `this endpoint claims to be the public network ${network}`, {
    data: { reason: 'PublicGenesis', genesisHash },
  })
}
