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
import type { BlockHead, ChainConstants, ChainRecord, Metagraph } from '../chain.js'
import type { Devchain, OperationOutcome } from './devchain.js'
import { UIDS_MAX } from './genesis.js'
import { OPERATION_BODY_BYTES_MAX, type SignedOperation } from './operation.js'
import { REFUSALS, type Refusal } from './refusals.js'

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
const hash = z.string().regex(/^0x[0-9a-f]{64}$/)
/** The form only: what an address means is checked where it is signed or decoded. */
const address = z.string().regex(/^[1-9A-HJ-NP-Za-km-z]{46,48}$/)
const atBlock = z.strictObject({ block: uint })
const ofHotkey = z.strictObject({ hotkey: address })
const nothing = z.strictObject({})

export const blockHead: z.ZodType<BlockHead> = z.strictObject({ number: uint, hash })

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
})

const metagraph = z.strictObject({
  netuid: uint,
  block: uint,
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

const signedOperation = z.strictObject({
  body: hexBytes(OPERATION_BODY_BYTES_MAX),
  signature: hexBytes(SIGNATURE_BYTES),
})

const refusal = z.enum(Object.keys(REFUSALS) as Refusal[])
const outcome = z.strictObject({ block: uint, refusal: refusal.nullable() }).nullable()

/** Every question, by its name on the wire. */
interface Questions {
  constants: { params: Nothing; result: ChainConstants }
  head: { params: Nothing; result: BlockHead }
  metagraph: { params: AtBlock; result: Metagraph }
  records: { params: AtBlock; result: ReadonlyMap<string, ChainRecord> }
  randomness: { params: AtBlock; result: Uint8Array }
  nonce: { params: { readonly hotkey: string }; result: number }
  submit: { params: SignedOperation; result: OperationOutcome | null }
}

type Nothing = Readonly<Record<string, never>>
interface AtBlock {
  readonly block: number
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
  metagraph: { params: atBlock, result: metagraph, run: (devchain, { block }) => devchain.metagraph(block) },
  records: { params: atBlock, result: records, run: (devchain, { block }) => devchain.records(block) },
  randomness: {
    params: atBlock,
    result: hexBytes(32),
    run: (devchain, { block }) => devchain.randomness(block),
  },
  nonce: { params: ofHotkey, result: uint, run: (devchain, { hotkey }) => devchain.nonce(hotkey) },
  submit: { params: signedOperation, result: outcome, run: (devchain, signed) => devchain.submit(signed) },
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
