/**
 * The auditor asks miners for leaves of chunks they leased and judges the answers by the roots in the leases. Which
 * leaves is drawn at that moment: a miner cannot know before it is asked.
 */
import { askChallenge } from '../../../protocols/challenge/client.js'
import { CHALLENGE_SAMPLES, type Challenge } from '../../../protocols/challenge/messages.js'
import { judgeAnswer, type SampledChunk } from '../../../protocols/challenge/proof.js'
import type { WireDomain } from '../../../protocols/common/signed.js'
import type { PeerComponents } from '../../../protocols/hello/exchange.js'
import type { AbortOptions } from '../../base/abort.js'
import { isSubnetError } from '../../base/errors.js'
import { type Random, randomFraction } from '../../base/random.js'
import { Semaphore } from '../../base/semaphore.js'
import type { Member, SubnetView } from '../../chain/subnet-view.js'
import { LEAF_BYTES } from '../../crypto/merkle.js'
import type { Ledger } from './ledger.js'

export interface AuditorComponents extends PeerComponents {
  readonly ledger: Pick<Ledger, 'chunks' | 'counts'>
  readonly view: SubnetView
  readonly random: Random
}

/** What one challenge to one miner showed. */
export interface AuditReport {
  /** SS58. */
  readonly miner: string
  readonly outcome: 'pass' | 'fail' | 'missing'
  readonly samples: number
  readonly proven: number
  /** From the question to the complete answer; absent when there was none. */
  readonly latencyMs?: number
  /** Why there was no answer, or no valid one. */
  readonly reason?: string
}

interface DrawnSample extends SampledChunk {
  readonly digest: Uint8Array
  readonly leaf: number
}

export class Auditor {
  readonly #components: AuditorComponents
  readonly #domain: WireDomain
  /** One after the other: each goes page by page, and between two pages somebody else has his turn. */
  readonly #drawing = new Semaphore({ permitsMax: 1, waitersMax: Number.POSITIVE_INFINITY })

  constructor(components: AuditorComponents, domain: WireDomain) {
    this.#components = components
    this.#domain = domain
  }

  /** One challenge to every miner that holds a lease of this validator; miners without one are not in the result. */
  async auditAll(options: AbortOptions = {}): Promise<AuditReport[]> {
    const reports = await Promise.all(
      this.#components.view.members().map((member) => this.auditMiner(member, options)),
    )
    return reports.filter((report) => report !== undefined)
  }

  /** `undefined` when the miner holds nothing of ours. */
  async auditMiner(member: Member, options: AbortOptions = {}): Promise<AuditReport | undefined> {
    const drawn = await this.#drawing.run(() => this.#draw(member), options)
    if (drawn.length === 0) return undefined
    const base = { miner: member.hotkey, samples: drawn.length, proven: 0 }
    if (member.endpoint === undefined) return { ...base, outcome: 'missing', reason: 'no published address' }
    const { clock, random } = this.#components
    const challenge: Challenge = {
      type: 'challenge',
      nonce: random.bytes(16),
      samples: drawn.map(({ digest, leaf }) => [digest, leaf]),
    }
    const peer = { ...member.endpoint, hotkey: member.publicKey }
    const askedMs = clock.monotonicMs()
    try {
      const answer = await askChallenge(this.#components, peer, challenge, options)
      const latencyMs = clock.monotonicMs() - askedMs
      const verdicts = judgeAnswer(this.#domain, member.publicKey, challenge, drawn, answer)
      const proven = verdicts.filter((verdict) => verdict === 'proven').length
      return { ...base, outcome: proven === drawn.length ? 'pass' : 'fail', proven, latencyMs }
    } catch (error) {
      options.signal?.throwIfAborted()
      if (!isSubnetError(error)) throw error
      return { ...base, outcome: 'missing', reason: `${error.code}: ${error.message}` }
    }
  }

  /**
   * Leaves drawn uniformly over all leased leaves that the miner has not told to be lost, in one pass over its chunks.
   * A chunk counts once however many leases name it: else a miner with one body that thousands of places share would be
   * asked for little else. Each sample is a reservoir of its own with room for one leaf, and knows at which leaf it will
   * next change its mind: of a terabyte's millions of chunks a sample looks at some twenty, the others cost one comparison.
   */
  async #draw({ hotkey, publicKey }: Member): Promise<DrawnSample[]> {
    const { ledger, view, random } = this.#components
    const drawn: (DrawnSample & { readonly object: Uint8Array })[] = []
    /** For each sample, the number of the leaf that it takes next, all leaves of the pass counted from 0. */
    const next = new Array<number>(CHALLENGE_SAMPLES).fill(0)
    let soonest = 0
    let seen = 0
    for await (const page of ledger.chunks(hotkey)) {
      for (const { endBlock, ...chunk } of page) {
        // The miner may have dropped what a lease no longer covers.
        if (endBlock <= view.block) continue
        const end = seen + Math.ceil(chunk.sizeBytes / LEAF_BYTES)
        if (soonest < end) {
          for (const [slot, first] of next.entries()) {
            let taken = first
            for (; taken < end; taken = nextTaken(taken, random)) {
              drawn[slot] = { ...chunk, leaf: taken - seen }
            }
            next[slot] = taken
          }
          soonest = Math.min(...next)
        }
        seen = end
      }
    }
    const counting = await Promise.all(drawn.map(({ object }) => ledger.counts(object, publicKey)))
    return drawn.filter((_, sample) => counting[sample])
  }
}

/**
 * The number of the leaf that replaces leaf `taken`. Leaf m is taken with chance 1 / (m + 1), so none is up to and with m
 * with chance (taken + 1) / (m + 1). J. S. Vitter, "Random sampling with a reservoir" (1985), for one place.
 */
function nextTaken(taken: number, random: Random): number {
  return Math.max(taken + 1, Math.floor((taken + 1) / (1 - randomFraction(random))))
}
