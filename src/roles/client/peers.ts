/** Whom a client can talk to: the validators and miners that the chain names, and which of them answer. */
import type { PeerComponents } from '../../../protocols/hello/exchange.js'
import type { KnownPeer } from '../../../protocols/hello/sessions.js'
import { type AbortOptions, deadline } from '../../base/abort.js'
import { isSubnetError, SubnetError } from '../../base/errors.js'
import type { ChainConstants } from '../../chain/chain.js'
import type { Member, SubnetView } from '../../chain/subnet-view.js'
import { sha256Of } from '../../crypto/hash.js'

/** Time to find out whether a holder can be reached. */
const PROBE_TIMEOUT_MS = 5_000
/** Holders probed at once. */
const PROBES_AT_ONCE = 16

/** How long the blocks take until an epoch gives validators their permits. */
export type Epochs = Pick<ChainConstants, 'blockMs'>

export interface ClientPeersComponents extends PeerComponents {
  readonly view: SubnetView
}

export class ClientPeers {
  readonly #components: ClientPeersComponents
  readonly #epochs: Epochs

  constructor(components: ClientPeersComponents, epochs: Epochs) {
    this.#components = components
    this.#epochs = epochs
  }

  /** Everyone without a permit may be a miner. */
  miners(): KnownPeer[] {
    return this.#components.view
      .members()
      .flatMap(({ endpoint, publicKey, validatorPermit }) =>
        endpoint === undefined || validatorPermit ? [] : [{ ...endpoint, hotkey: publicKey }],
      )
  }

  /** As `validators`; throws `TOO_FEW_PEERS`, saying when there may be one, when nobody has a permit. */
  permittedValidators(seed: Uint8Array): KnownPeer[] {
    const { view } = this.#components
    if (view.validators().length === 0) throw noValidator(view, this.#epochs)
    return this.validators(seed)
  }

  /** Validators with an address, by rendezvous with `seed`: everybody asks in the same order. */
  validators(seed: Uint8Array): KnownPeer[] {
    const ranked = this.#components.view
      .validators()
      .flatMap((member) => (member.endpoint === undefined ? [] : [{ member, endpoint: member.endpoint }]))
      .map(({ member, endpoint }) => ({ member, endpoint, rank: rendezvousRank(seed, member) }))
    ranked.sort((a, b) => (a.rank < b.rank ? -1 : 1))
    return ranked.map(({ member, endpoint }) => ({ ...endpoint, hotkey: member.publicKey }))
  }

  /** Peer ids that answer a greeting. */
  async probe(peers: readonly KnownPeer[], options: AbortOptions): Promise<ReadonlySet<string>> {
    const reachable = new Set<string>()
    const queue = [...peers]
    const worker = async () => {
      for (let peer = queue.shift(); peer !== undefined; peer = queue.shift()) {
        using scope = deadline(
          this.#components.clock,
          PROBE_TIMEOUT_MS,
          `greeting ${peer.peerId}`,
          options.signal,
        )
        try {
          await this.#components.sessions.connect(peer, scope)
          reachable.add(peer.peerId)
        } catch (error) {
          options.signal?.throwIfAborted()
          if (!isSubnetError(error)) throw error
        }
      }
    }
    await Promise.all(Array.from({ length: PROBES_AT_ONCE }, worker))
    return reachable
  }
}

/** Says which of the two it is: nobody to wait for, or an epoch to wait for. */
function noValidator(view: SubnetView, { blockMs }: Epochs): SubnetError {
  const { block, nextEpochBlock: epochBlock } = view
  const members = view.members().length
  if (members === 0) {
    return new SubnetError(
      'TOO_FEW_PEERS',
      'nobody is registered on this subnet yet: start a validator and miners',
    )
  }
  const waitMs = Math.max(1, epochBlock - block) * blockMs
  const staked = view.members().some(({ stakeRao }) => stakeRao > 0n)
  const text = staked
    ? `no validator has a permit yet: the chain gives permits at block ${epochBlock}, in about ${Math.ceil(waitMs / 1000)} s (now ${block})`
    : `none of the ${members} registered nodes has stake, so none can be a validator: start one`
  return new SubnetError('TOO_FEW_PEERS', text, { data: { block, epochBlock, retryAfterMs: waitMs } })
}

function rendezvousRank(seed: Uint8Array, member: Member): string {
  return Buffer.from(sha256Of([seed, member.publicKey])).toString('hex')
}
