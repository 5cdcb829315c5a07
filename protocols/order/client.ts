/** The client's side of `order`. One stream per question; the caller owns the deadline. */
import type { AbortOptions } from '../../src/base/abort.js'
import { SubnetError } from '../../src/base/errors.js'
import type { Random } from '../../src/base/random.js'
import type { Signer } from '../../src/crypto/keys.js'
import { unlessFailure } from '../common/frames.js'
import type { Envelope, WireDomain } from '../common/signed.js'
import { signEnvelope } from '../common/signed.js'
import type { Authority } from '../hello/attestation.js'
import type { PeerComponents } from '../hello/exchange.js'
import { callPatiently } from '../hello/exchange.js'
import type { KnownPeer } from '../hello/sessions.js'
import { checkLeaseCounted } from '../lease/lease.js'
import { encodePackedLease, type PackedLease } from '../lease/packed-lease.js'
import type {
  CommitBody,
  Committed,
  LocateBody,
  Located,
  PlaceBody,
  Placed,
  ReleaseBody,
  Released,
  RenewBody,
  Renewed,
} from './messages.js'
import {
  commitAnswerSchema,
  locateAnswerSchema,
  ORDER,
  placeAnswerSchema,
  releaseAnswerSchema,
  renewAnswerSchema,
} from './messages.js'

/** Blocks after which a request that did not arrive is void. */
const REQUEST_LIFE_BLOCKS = 20

export interface OrderClientComponents extends PeerComponents {
  readonly random: Random
  readonly authority: Pick<Authority, 'block'>
  /** The client's own key. */
  readonly signer: Signer
}

export class OrderClient {
  readonly #components: OrderClientComponents
  readonly #domain: WireDomain

  constructor(components: OrderClientComponents, domain: WireDomain) {
    this.#components = components
    this.#domain = domain
  }

  /** Rejects with `TOO_FEW_PEERS` when the profile does not fit the network, `NO_SPACE` when the bytes do not. */
  async place(validator: KnownPeer, body: PlaceBody, options: AbortOptions = {}): Promise<Placed> {
    return await callPatiently(this.#components, ORDER, validator, options, async (frames) => {
      await frames.writeMessage(
        { type: 'place', request: this.#sign('order.place', validator, body) },
        options,
      )
      const answer = await frames.readMessage(placeAnswerSchema, 'placed', options)
      return unlessFailure(answer, validator.peerId)
    })
  }

  /**
   * Rejects with `NOT_DURABLE` when a segment has fewer receipts than the quorum, `BAD_SIGNATURE` when what comes back is
   * not this validator's countersignature under every lease: only that makes them count.
   */
  async commit(
    validator: KnownPeer,
    body: Omit<CommitBody, 'nodes' | 'leases'>,
    parts: { readonly nodes: readonly Uint8Array[]; readonly leases: readonly PackedLease[] },
    options: AbortOptions = {},
  ): Promise<Committed> {
    const whole: CommitBody = {
      ...body,
      nodes: parts.nodes.map((node) => node.length),
      leases: parts.leases.length,
    }
    return await callPatiently(this.#components, ORDER, validator, options, async (frames) => {
      await frames.writeMessage(
        { type: 'commit', request: this.#sign('order.commit', validator, whole) },
        options,
      )
      for (const node of parts.nodes) await frames.writeBody(node, options)
      for (const lease of parts.leases) await frames.writeHeader(encodePackedLease(lease), options)
      const answer = unlessFailure(
        await frames.readMessage(commitAnswerSchema, 'committed', options),
        validator.peerId,
      )
      if (answer.countersignatures.length !== parts.leases.length) {
        throw new SubnetError('INVALID', 'committed: not one countersignature per lease')
      }
      for (const [index, signature] of answer.countersignatures.entries()) {
        const lease = parts.leases[index]
        if (lease !== undefined) checkLeaseCounted(lease, signature, this.#domain)
      }
      return answer
    })
  }

  /** Rejects with `NOT_FOUND` when this validator does not know the object. */
  async locate(validator: KnownPeer, body: LocateBody, options: AbortOptions = {}): Promise<Located> {
    return await callPatiently(this.#components, ORDER, validator, options, async (frames) => {
      await frames.writeMessage(
        { type: 'locate', request: this.#sign('order.locate', validator, body) },
        options,
      )
      const answer = await frames.readMessage(locateAnswerSchema, 'located', options)
      return unlessFailure(answer, validator.peerId)
    })
  }

  /** `owner`: the object's own key. Rejects with `NOT_FOUND` for an unknown object, `REFUSED` for another's key. */
  async renew(
    validator: KnownPeer,
    owner: Signer,
    body: RenewBody,
    options: AbortOptions = {},
  ): Promise<Renewed> {
    return await callPatiently(this.#components, ORDER, validator, options, async (frames) => {
      const request = this.#sign('order.renew', validator, body, owner)
      await frames.writeMessage({ type: 'renew', request }, options)
      const answer = await frames.readMessage(renewAnswerSchema, 'renewed', options)
      return unlessFailure(answer, validator.peerId)
    })
  }

  /** Like `renew`. */
  async release(
    validator: KnownPeer,
    owner: Signer,
    body: ReleaseBody,
    options: AbortOptions = {},
  ): Promise<Released> {
    return await callPatiently(this.#components, ORDER, validator, options, async (frames) => {
      const request = this.#sign('order.release', validator, body, owner)
      await frames.writeMessage({ type: 'release', request }, options)
      const answer = await frames.readMessage(releaseAnswerSchema, 'released', options)
      return unlessFailure(answer, validator.peerId)
    })
  }

  #sign(
    method: string,
    validator: KnownPeer,
    body: unknown,
    signer: Signer = this.#components.signer,
  ): Envelope {
    const { random, authority } = this.#components
    return signEnvelope({
      domain: this.#domain,
      method,
      body,
      signer,
      receiver: validator.hotkey,
      nonce: random.bytes(16),
      expiresBlock: authority.block + REQUEST_LIFE_BLOCKS,
    })
  }
}
