/**
 * Putting one object: which validator places it, who takes over when that one does not, and what of an interrupted run is
 * left. The bytes' way is transfer/upload.ts, the next hop on the store path.
 */
import { equals } from 'uint8arrays'
import type { WireDomain } from '../../../protocols/common/signed.js'
import type { KnownPeer } from '../../../protocols/hello/sessions.js'
import type { OrderClient } from '../../../protocols/order/client.js'
import { LOCATE_SEGMENTS_MAX } from '../../../protocols/order/messages.js'
import { type AbortOptions, childSignal } from '../../base/abort.js'
import { type ErrorCode, isSubnetError, SubnetError } from '../../base/errors.js'
import type { SubnetView } from '../../chain/subnet-view.js'
import { toSs58 } from '../../crypto/keys.js'
import { manifestQuorum, PROFILES, type ProfileName } from '../../redundancy/profiles.js'
import { OBJECT_KEY_BYTES } from '../../redundancy/seal.js'
import { lost } from '../../transfer/commit.js'
import type { PutJournal, PutRecord } from '../../transfer/put-journal.js'
import { type UploadComponents, type UploadOptions, upload } from '../../transfer/upload.js'
import type { UploadReport } from '../../transfer/upload-report.js'
import { capabilitiesOf } from './access.js'
import type { ClientPeers } from './peers.js'

/** After this no further validator is tried until one places the object: each may take its whole time not to answer. */
const PLACING_TIMEOUT_MS = 120_000
/** Failures that say nothing but that the validator cannot be talked to. */
const UNREACHABLE: ReadonlySet<ErrorCode> = new Set(['DISCONNECTED', 'TIMEOUT', 'UNAUTHENTICATED', 'STOPPED'])
/** What is left to whoever puts. */
const ADVICE = {
  lost: 'put it again, another one will take it (what can be read again, as a file, is sent to the next one at once)',
  torn: 'miners have left with what they kept; put it again (what can be read again, as a file, goes on by itself)',
  tornAgain: 'miners leave faster than it can be stored; put it again later, what is kept is not sent again',
} as const
/** Runs of one put. Miners that leave meanwhile take with them what they kept; the next run sends that to others. */
const RUNS_MAX = 3
/** Failures of this side: no other validator would change them. */
const OWN: ReadonlySet<ErrorCode> = new Set(['DISK', 'CONFIG'])

type Pieces = AsyncIterable<Uint8Array> | Iterable<Uint8Array>

/**
 * The bytes of an object, in pieces of any size. As a function, which begins at the first byte at each call, it lets the
 * put go on when miners leave with what they kept of it, or when the validator that placed it is lost on the way.
 * A piece is copied before the next one is asked for: from then on its memory is the source's again.
 */
export type PutSource = Pieces | (() => Pieces)

export interface PutOptions extends UploadOptions {
  readonly profile?: ProfileName
  /**
   * Stored as it is, for everybody to read: identical to what `ipfs add --cid-version=1 --raw-leaves
   * --chunker=size-1048576` makes of it. Default: private.
   */
  readonly public?: boolean
  /** Plaintext bytes, if known: lets the network refuse at once what it has no room for. */
  readonly sizeBytes?: number
  readonly leaseBlocks?: number
  /** Lets a second put of the same bytes go on where this one is interrupted. */
  readonly journal?: PutJournal
}

export interface PutResult extends UploadReport {
  /** It went on from an earlier run. */
  readonly resumed: boolean
  /** Whoever has it can read the object; of a public object the bare address, which anybody may know. */
  readonly capability: string
  /** Whoever has it can renew and release the object; of a private object the same as `capability`. */
  readonly ownerCapability: string
  readonly profile: ProfileName
  /** Validators that were tried before the one that placed the object. */
  readonly validatorsTried: number
}

export interface PutComponents extends Omit<UploadComponents, 'orders'> {
  readonly orders: OrderClient
  readonly peers: Pick<ClientPeers, 'permittedValidators' | 'validators'>
  readonly view: Pick<SubnetView, 'member' | 'onChange' | 'refresh'>
}

export interface PutInit {
  readonly domain: WireDomain
  readonly defaultProfile: ProfileName
  readonly defaultLeaseBlocks: number
}

interface Tried {
  readonly validator: KnownPeer
  readonly error: SubnetError
}

/** As `StorageClient.put`. */
export async function putObject(
  source: PutSource,
  components: PutComponents,
  init: PutInit,
  options: PutOptions,
): Promise<PutResult> {
  const { clock } = components
  const profile = options.profile ?? init.defaultProfile
  const objectClass = options.public === true ? 'public' : 'private'
  const found = await options.journal?.load()
  const earlier = found?.profile === profile && found.class === objectClass ? found : undefined
  const record = earlier ?? newRecord({ profile, class: objectClass }, components)
  const { peers } = components
  const asked = peers.permittedValidators(record.objectKey).length
  let endMs = clock.monotonicMs() + PLACING_TIMEOUT_MS
  const tried: Tried[] = []
  let runs = 1
  /** Who has placed it before: in an earlier run, or in the last one of this. */
  let placedBy = earlier?.validator
  /** The validator that is tried has placed the object, and bytes are read for it. */
  let hasBegun = false
  const read = async function* () {
    hasBegun = true
    yield* typeof source === 'function' ? source() : source
  }
  // Looked up anew each time: on a long way permits come and go.
  const untried = () =>
    preferring(peers.validators(record.objectKey), earlier?.validator).find(
      ({ hotkey }) => !tried.some(({ validator }) => equals(validator.hotkey, hotkey)),
    )
  for (let validator = untried(); validator !== undefined; validator = untried()) {
    if (clock.monotonicMs() > endMs) break
    hasBegun = false
    try {
      const own = { ...record, validator: validator.hotkey }
      const resumes = earlier !== undefined || runs > 1
      const continues = placedBy !== undefined && equals(placedBy, validator.hotkey)
      const put = new Put(components, init, { validator, record: own, resumes, continues })
      const report = (await put.committed(options)) ?? (await put.upload(read(), options))
      await options.journal?.remove()
      const capabilities = capabilitiesOf(record, report.address)
      const resumed = earlier !== undefined
      return { ...report, ...capabilities, profile, resumed, validatorsTried: tried.length }
    } catch (error) {
      options.signal?.throwIfAborted()
      if (!isSubnetError(error) || OWN.has(error.code) || error.data.largestBytes !== undefined) throw error
      const isLost = error.data.lostValidator !== undefined
      const isTorn = hasBegun && !isLost && error.code === 'NOT_DURABLE'
      if (!isTorn) tried.push({ validator, error })
      if (!hasBegun) continue
      if (!isLost && !isTorn) throw error
      if (typeof source !== 'function') throw withAdvice(error, isLost ? ADVICE.lost : ADVICE.torn)
      if (isTorn && runs >= RUNS_MAX) throw withAdvice(error, ADVICE.tornAgain)
      if (isTorn) runs += 1
      placedBy = validator.hotkey
      endMs = clock.monotonicMs() + PLACING_TIMEOUT_MS
    }
  }
  throw nobodyTakesIt(tried, Math.max(asked, tried.length))
}

function newRecord(
  what: Pick<PutRecord, 'profile' | 'class'>,
  { random, clock }: PutComponents,
): Omit<PutRecord, 'validator' | 'committing'> {
  return {
    objectKey: random.bytes(OBJECT_KEY_BYTES),
    put: random.bytes(16),
    ...what,
    createdUnixSeconds: Math.floor(clock.nowMs() / 1000),
  }
}

/** The one that placed an earlier run first, for only there it is known. */
function preferring(validators: readonly KnownPeer[], preferred: Uint8Array | undefined): KnownPeer[] {
  const isPreferred = ({ hotkey }: KnownPeer) => preferred !== undefined && equals(hotkey, preferred)
  return [...validators].sort((a, b) => Number(isPreferred(b)) - Number(isPreferred(a)))
}

interface PutTask {
  readonly validator: KnownPeer
  readonly record: PutRecord
  /** An earlier run may have left chunks at the miners. */
  readonly resumes: boolean
  /** It was placed by this very validator. */
  readonly continues: boolean
}

/** One put at one validator. */
class Put {
  readonly #components: PutComponents
  readonly #init: PutInit
  readonly #task: PutTask

  constructor(components: PutComponents, init: PutInit, task: PutTask) {
    this.#components = components
    this.#init = init
    this.#task = task
  }

  /**
   * The report of an earlier run that was interrupted after this validator had counted the object; `undefined` when some
   * of what it promised is lost by now, for that is to be placed anew.
   */
  async committed(options: PutOptions): Promise<UploadReport | undefined> {
    const { record } = this.#task
    if (record.committing === undefined) return undefined
    try {
      return (await this.#isHeld(record.committing, options)) ? record.committing : undefined
    } catch (error) {
      if (isSubnetError(error, 'NOT_FOUND')) return undefined
      throw error
    }
  }

  /** Whether the validator knows holders for as much of every segment, and of every node, as the report says. */
  async #isHeld(report: UploadReport, options: AbortOptions): Promise<boolean> {
    const { validator, record } = this.#task
    const { address: object, segments: total, weakestReceipts, fullReceipts } = report
    const isHeld = (holders: readonly number[]) => holders.length > 0
    for (
      let firstSegment = 0;
      firstSegment === 0 || firstSegment < total;
      firstSegment += LOCATE_SEGMENTS_MAX
    ) {
      const question = { object, firstSegment, segments: Math.min(LOCATE_SEGMENTS_MAX, total - firstSegment) }
      const { nodes, segments } = await this.#components.orders.locate(validator, question, options)
      if (nodes.some(({ length }) => length < manifestQuorum(PROFILES[record.profile]))) return false
      for (const chunks of segments)
        if (chunks.length - chunks.filter(isHeld).length > fullReceipts - weakestReceipts) return false
    }
    return true
  }

  /** As `upload`; a validator that has no permit any more is lost, for no miner keeps anything in its name. */
  async upload(source: AsyncIterable<Uint8Array>, options: PutOptions): Promise<UploadReport> {
    const { view } = this.#components
    using life = childSignal(options.signal)
    const unsubscribe = view.onChange(() => {
      if (!this.#isPermitted) life.abort(this.#withoutPermit())
    })
    try {
      return await this.#upload(source, { ...options, signal: life.signal })
    } catch (error) {
      if (isSubnetError(error, 'NOT_DURABLE') && (await this.#lostPermit(life)))
        throw this.#withoutPermit(error)
      throw error
    } finally {
      unsubscribe()
    }
  }

  get #isPermitted(): boolean {
    return this.#components.view.member(this.#task.validator.hotkey)?.validatorPermit === true
  }

  /** Miners may have seen it before we do. */
  async #lostPermit(options: AbortOptions): Promise<boolean> {
    try {
      await this.#components.view.refresh(options)
    } catch (error) {
      options.signal?.throwIfAborted()
      // What we know of the chain is all we have to go by.
      if (!isSubnetError(error)) throw error
    }
    return !this.#isPermitted
  }

  #withoutPermit(cause?: SubnetError): SubnetError {
    return lost(this.#task.validator, new SubnetError('REFUSED', 'it has lost its permit', { cause }))
  }

  async #upload(source: AsyncIterable<Uint8Array>, options: PutOptions): Promise<UploadReport> {
    const { validator, record, resumes, continues } = this.#task
    const { journal } = options
    const { committing: _, ...unfinished } = record
    await journal?.save(unfinished)
    return await upload(
      source,
      {
        domain: this.#init.domain,
        validator,
        profile: PROFILES[record.profile],
        class: record.class,
        objectKey: record.objectKey,
        leaseBlocks: options.leaseBlocks ?? this.#init.defaultLeaseBlocks,
        createdUnixSeconds: record.createdUnixSeconds,
        put: record.put,
        resumes,
        continues,
        beforeCommit: async (report) => await journal?.save({ ...unfinished, committing: report }),
        ...(options.sizeBytes === undefined ? {} : { sizeBytes: options.sizeBytes }),
      },
      this.#components,
      options,
    )
  }
}

function withAdvice(error: SubnetError, advice: string): SubnetError {
  const { code, data } = error
  return new SubnetError(code, `${error.message}; ${advice}`, { cause: error.cause, data, retryable: true })
}

/** What each validator said; the code is that of the first one that answered at all. */
function nobodyTakesIt(tried: readonly Tried[], validators: number): SubnetError {
  const answers = tried.map(({ error }) => error).filter(({ code }) => !UNREACHABLE.has(code))
  // One that was lost on the way says nothing about those who were asked after it.
  const answered = answers.find(({ data }) => data.lostValidator === undefined) ?? answers[0]
  if (answered !== undefined && tried.length === 1) return answered
  const words = tried.map(({ validator, error }) => {
    return `${toSs58(validator.hotkey)} ${error.code}: ${error.message}`
  })
  const many = validators === 1 ? 'the one validator does not take' : `none of ${validators} validators takes`
  const what = answered === undefined ? 'none of them can be reached' : 'they were tried in this order'
  const text =
    validators === 0
      ? 'no validator has published an address'
      : `${many} the object; ${what}: ${words.join('; ')}`
  return new SubnetError(answered?.code ?? 'TOO_FEW_PEERS', text, {
    cause: answered ?? tried[0]?.error,
    data: { ...answered?.data, validators: words },
  })
}
