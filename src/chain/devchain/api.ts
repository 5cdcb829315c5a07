/**
 * What the authority of a devchain can be asked, once for both ways to it: directly in the same process, or as
 * JSON-RPC over a WebSocket. Each method has the schemas of its parameters and its result; decoding checks what comes
 * in, encoding makes what goes out (BigInt as decimal text, bytes as 0x-hex).
 */
import { toString as bytesToText, fromString } from 'uint8arrays'
import * as z from 'zod'
import type { AbortOptions } from '../../base/abort.js'
import type { Startable } from '../../base/lifecycle.js'
import { SIGNATURE_BYTES } from '../../crypto/keys.js'
import type {
  BlockHead,
  ChainConstants,
  ChainRecord,
  Hyperparameters,
  Metagraph,
  SubnetIdentity,
  SubnetInfo,
} from '../chain.js'
import type { Devchain, OperationOutcome } from './devchain.js'
import { UIDS_MAX } from './genesis.js'
import type { Misdeed } from './misbehaviour.js'
import { OPERATION_BODY_BYTES_MAX, type SignedOperation } from './operation.js'
import { subnetCostRao } from './ownership.js'
import { REFUSALS, type Refusal } from './refusals.js'
import { hyperparametersOf, metagraphOf, recordsOf, subnetInfoOf, weightsOf } from './views.js'

const raoText = z.codec(z.string().regex(/^\d{1,20}$/), z.bigint(), {
  decode: (text) => BigInt(text),
  encode: (rao) => rao.toString(),
})

const hexBytes = (bytesMax: number) =>
  z.codec(
    z
      .string()
      .max(2 + 2 * bytesMax)
      .regex(/^0x(?:[0-9a-f]{2})*$/),
    z.instanceof(Uint8Array),
    {
      decode: (text) => fromString(text.slice(2), 'base16'),
      encode: (bytes) => `0x${bytesToText(bytes, 'base16')}`,
    },
  )

const uint = z.int().nonnegative()
const u16 = z.int().min(0).max(0xffff)
const hash = z.string().regex(/^0x[0-9a-f]{64}$/)
/** The form only: what an address means is checked where it is signed or decoded. */
const address = z.string().regex(/^[1-9A-HJ-NP-Za-km-z]{46,48}$/)
const netuid = u16
const atBlock = z.strictObject({ block: uint })
const ofSubnet = z.strictObject({ netuid, block: uint })
const nothing = z.strictObject({})

export const blockHead: z.ZodType<BlockHead> = z.strictObject({ number: uint, hash, timestampMs: uint })

const constants = z.strictObject({
  genesisHash: hash,
  netuid: uint,
  blockMs: z.int().positive(),
  tempo: z.int().positive(),
})

const neuron = z.strictObject({
  uid: uint,
  hotkey: address,
  coldkey: address,
  stakeRao: raoText,
  validatorPermit: z.boolean(),
  registeredAtBlock: uint,
  axon: z.strictObject({ ip: z.string().max(64), port: u16 }).exactOptional(),
  lastUpdateBlock: uint,
  active: z.boolean(),
  consensus: u16,
  incentive: u16,
  dividends: u16,
  validatorTrust: u16,
  emissionRao: raoText,
})

const metagraph = z.strictObject({
  netuid: uint,
  block: uint,
  epoch: uint,
  nextEpochBlock: uint,
  neurons: z
    .array(neuron)
    .max(UIDS_MAX)
    .refine((list) => list.every((entry, i) => entry.uid === i), 'uids are not dense'),
})

const record = z.strictObject({ peerId: z.string().max(128), address: z.string().max(512) })

const records = z.codec(z.array(z.tuple([address, record])).max(UIDS_MAX), z.map(address, record), {
  decode: (entries) => new Map(entries),
  encode: (map) => [...map],
})

type WeightRows = ReadonlyMap<number, ReadonlyArray<readonly [number, number]>>
const row = z.array(z.tuple([u16, u16])).max(UIDS_MAX)
const weights = z.codec(z.array(z.tuple([u16, row])).max(UIDS_MAX), z.map(u16, row), {
  decode: (entries) => new Map(entries),
  encode: (map) => [...map],
}) as unknown as z.ZodType<WeightRows>

const hyperparameters: z.ZodType<Hyperparameters> = z.strictObject({
  tempo: u16,
  kappa: u16,
  immunityPeriodBlocks: u16,
  minAllowedWeights: u16,
  maxWeightsLimit: u16,
  activityCutoffBlocks: u16,
  weightsVersion: raoText,
  weightsRateLimitBlocks: u16,
  commitRevealEnabled: z.boolean(),
  revealPeriodEpochs: u16,
  yuma3Enabled: z.boolean(),
  liquidAlphaEnabled: z.boolean(),
  alphaLow: u16,
  alphaHigh: u16,
  alphaSigmoidSteepness: u16,
  bondsMovingAverage: uint,
  bondsPenalty: u16,
  maxAllowedUids: u16,
  maxAllowedValidators: u16,
  registrationAllowed: z.boolean(),
  burnRao: raoText,
  minBurnRao: raoText,
  maxBurnRao: raoText,
  stakeThresholdRao: raoText,
})

const text = z.string().max(2_048)
const identity = z.strictObject({ name: text, repository: text, contact: text, url: text, description: text })
/** JSON has no undefined. */
const subnetInfo: z.ZodType<StoredSubnetInfo | null> = z
  .strictObject({
    netuid,
    ownerColdkey: address,
    ownerHotkey: address,
    registeredAtBlock: uint,
    started: z.boolean(),
    startAllowedAtBlock: uint,
    identity: identity.nullable(),
  })
  .nullable()
type StoredSubnetInfo = Omit<SubnetInfo, 'identity'> & { readonly identity: SubnetIdentity | null }

const signedOperation = z.strictObject({
  body: hexBytes(OPERATION_BODY_BYTES_MAX),
  signature: hexBytes(SIGNATURE_BYTES),
})

const reason = z.enum(Object.keys(REFUSALS) as Refusal[])
const refusal = z.strictObject({ reason, block: uint.exactOptional() })
const outcome = z.strictObject({ block: uint, refusal: refusal.nullable() }).nullable()

const misdeed: z.ZodType<Misdeed> = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('stall'), on: z.boolean() }),
  z.strictObject({ kind: z.literal('silence'), on: z.boolean() }),
  z.strictObject({ kind: z.literal('reorg'), depth: uint }),
  z.strictObject({ kind: z.literal('refuse'), reason, code: uint, times: uint }),
  z.strictObject({ kind: z.literal('drop') }),
  z.strictObject({ kind: z.literal('close'), oneIn: uint }),
])

/** Every question, by its name on the wire. */
interface Questions {
  constants: { params: Nothing; result: ChainConstants }
  head: { params: Nothing; result: BlockHead }
  finalizedHead: { params: Nothing; result: BlockHead }
  metagraph: { params: OfSubnet; result: Metagraph }
  records: { params: OfSubnet; result: ReadonlyMap<string, ChainRecord> }
  weights: { params: OfSubnet; result: WeightRows }
  hyperparameters: { params: OfSubnet; result: Hyperparameters }
  subnets: { params: Nothing; result: readonly number[] }
  subnet: { params: { readonly netuid: number }; result: StoredSubnetInfo | null }
  subnetCost: { params: Nothing; result: bigint }
  balance: { params: { readonly coldkey: string }; result: bigint }
  randomness: { params: AtBlock; result: Uint8Array }
  nonce: { params: { readonly key: string }; result: number }
  submit: { params: SignedOperation; result: OperationOutcome | null }
  misbehave: { params: Misdeed; result: null }
}

type Nothing = Readonly<Record<string, never>>
interface AtBlock {
  readonly block: number
}
interface OfSubnet extends AtBlock {
  readonly netuid: number
}

export type MethodName = keyof Questions
export type Params<M extends MethodName> = Questions[M]['params']
export type Result<M extends MethodName> = Questions[M]['result']

type MethodTable = {
  readonly [M in MethodName]: {
    readonly params: z.ZodType<Params<M>>
    readonly result: z.ZodType<Result<M>>
    readonly run: (devchain: Devchain, params: Params<M>) => Result<M>
  }
}

/** Failures are those of the `Devchain` method that runs. */
export const METHODS: MethodTable = {
  constants: { params: nothing, result: constants, run: (devchain) => devchain.constants },
  head: { params: nothing, result: blockHead, run: (devchain) => devchain.head },
  finalizedHead: { params: nothing, result: blockHead, run: (devchain) => devchain.finalizedHead },
  metagraph: {
    params: ofSubnet,
    result: metagraph,
    run: (devchain, { netuid, block }) => metagraphOf(devchain.subnet(netuid, block), block),
  },
  records: {
    params: ofSubnet,
    result: records,
    run: (devchain, { netuid, block }) => recordsOf(devchain.subnet(netuid, block)),
  },
  weights: {
    params: ofSubnet,
    result: weights,
    run: (devchain, { netuid, block }) => weightsOf(devchain.subnet(netuid, block)),
  },
  hyperparameters: {
    params: ofSubnet,
    result: hyperparameters,
    run: (devchain, { netuid, block }) => hyperparametersOf(devchain.subnet(netuid, block)),
  },
  subnets: {
    params: nothing,
    result: z.array(netuid),
    run: (devchain) => [...devchain.state().subnets.keys()].sort((a, b) => a - b),
  },
  subnet: {
    params: z.strictObject({ netuid }),
    result: subnetInfo,
    run: (devchain, { netuid }) => {
      const subnet = devchain.state().subnets.get(netuid)
      if (subnet === undefined) return null
      const { identity = null, ...info } = subnetInfoOf(subnet)
      return { ...info, identity }
    },
  },
  subnetCost: {
    params: nothing,
    result: raoText,
    run: (devchain) => subnetCostRao(devchain.state(), devchain.head.number + 1),
  },
  balance: {
    params: z.strictObject({ coldkey: address }),
    result: raoText,
    run: (devchain, { coldkey }) => devchain.state().balances.get(coldkey) ?? 0n,
  },
  randomness: {
    params: atBlock,
    result: hexBytes(32),
    run: (devchain, { block }) => devchain.randomness(block),
  },
  nonce: {
    params: z.strictObject({ key: address }),
    result: uint,
    run: (devchain, { key }) => devchain.nonce(key),
  },
  submit: { params: signedOperation, result: outcome, run: (devchain, signed) => devchain.submit(signed) },
  misbehave: {
    params: misdeed,
    result: z.null(),
    run: (devchain, deed) => devchain.misbehaveRemotely(deed),
  },
}

/** The way to one devchain. */
export interface DevchainApi extends Startable {
  /** Rejects with `CHAIN_UNAVAILABLE`, or with what the devchain throws. */
  call<M extends MethodName>(name: M, params: Params<M>, options?: AbortOptions): Promise<Result<M>>
  /** The newest head, from memory where heads are pushed. */
  head(options?: AbortOptions): Promise<BlockHead>
  onHead(listener: (head: BlockHead) => void): () => void
}

/** The way to a devchain in this process; starting and stopping the devchain itself is its owner's. */
export function localApi(devchain: Devchain): DevchainApi {
  return {
    start: async () => undefined,
    stop: async () => undefined,
    async call(name, params, options) {
      options?.signal?.throwIfAborted()
      return runMethod(devchain, name, params)
    },
    head: async () => devchain.head,
    onHead: (listener) => devchain.onHead(listener),
  }
}

export function runMethod<M extends MethodName>(devchain: Devchain, name: M, params: Params<M>): Result<M> {
  return METHODS[name].run(devchain, params)
}
