/**
 * The parts of one object on their way to the miners that placement names for them: chunks of a segment, each once, and
 * blocks that are kept in full copies. Fails when too few of a part are kept for it to be durable. When what is sent is
 * `upload.ts`; who takes what in another's stead is `spread.ts`.
 */
import { type DAG_SEGMENT, MANIFEST_SEGMENT } from '../../protocols/lease/lease.js'
import type { Placed } from '../../protocols/order/messages.js'
import type { AbortOptions } from '../base/abort.js'
import { SubnetError } from '../base/errors.js'
import { toSs58 } from '../crypto/keys.js'
import type { SegmentShape } from '../redundancy/layout.js'
import { type Candidate, placeManifest, placeSegment } from '../redundancy/placement.js'
import {
  durableQuorum,
  groupCap,
  manifestCopies,
  manifestQuorum,
  type Profile,
  shrinkProfile,
} from '../redundancy/profiles.js'
import type { EncodedChunk } from '../redundancy/segment.js'
import { Quorums } from './lease-round.js'
import type { Spread, SpreadOptions } from './spread.js'

/** A block that is kept in full copies. */
export interface CopiedBlock {
  readonly chunk: EncodedChunk
  /** In the words of a lease: of the manifest, or of the IPFS file. */
  readonly segment: typeof MANIFEST_SEGMENT | typeof DAG_SEGMENT
  readonly number: number
  /** These bytes were sent as something else before: ask who holds them. */
  readonly asksFirst?: boolean
}

export class PlacedParts {
  /** Of everything that was sent. */
  readonly quorums = new Quorums()
  readonly #profile: Profile
  readonly #seed: Uint8Array
  readonly #candidates: readonly Candidate[]
  readonly #spread: Spread

  constructor(profile: Profile, { seed, candidates }: Placed, spread: Spread) {
    this.#profile = profile
    this.#seed = seed
    this.#spread = spread
    this.#candidates = candidates.map(({ hotkey, group, weight }) => ({ id: toSs58(hotkey), group, weight }))
  }

  /**
   * Resolves with how many chunks are kept; the bytes of each are let go of as soon as it is. Rejects with `NOT_DURABLE`
   * when they are too few.
   */
  async sendSegment(shape: SegmentShape, bodies: EncodedChunk[], options: SpreadOptions): Promise<number> {
    const plan = placeSegment({
      seed: this.#seed,
      segment: shape.index,
      n: shape.n,
      cap: groupCap(this.#profile),
      candidates: this.#candidates,
    })
    const quorum = durableQuorum(shrinkProfile(this.#profile, shape.k))
    const place = (chunk: number) => [shape.index, chunk] as const
    const kept = await this.#spread.send(bodies, { ...plan, quorum }, place, options)
    if (kept < quorum) throw this.#notDurable(`segment ${shape.index}`, kept, quorum)
    this.quorums.setSegment(shape.index, quorum)
    return kept
  }

  /** Rejects with `NOT_DURABLE` when too few copies are kept. */
  async sendCopies(
    { chunk, segment, number, asksFirst = false }: CopiedBlock,
    options: AbortOptions,
  ): Promise<void> {
    const plan = placeManifest({
      seed: this.#seed,
      copies: manifestCopies(this.#profile),
      candidates: this.#candidates,
    })
    const quorum = manifestQuorum(this.#profile)
    const copies = plan.holders.map(() => chunk)
    const place = () => [segment, number] as const
    const kept = await this.#spread.send(copies, { ...plan, quorum, asksFirst }, place, options)
    if (kept < quorum) {
      const what = segment === MANIFEST_SEGMENT ? 'the manifest' : 'the IPFS file'
      throw this.#notDurable(what, kept, quorum)
    }
    this.quorums.setCopies(segment, number, quorum)
  }

  #notDurable(what: string, kept: number, quorum: number): SubnetError {
    return new SubnetError('NOT_DURABLE', `${what}: ${kept} miners keep it, ${quorum} are needed`, {
      cause: this.#spread.lastFailure,
      data: { kept, quorum },
    })
  }
}
