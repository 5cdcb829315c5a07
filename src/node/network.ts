/** What every node stands on, whatever its role: chain, view of the subnet, network, and sessions over it. */

import { type WireDomain, wireDomain } from '../../protocols/common/signed.js'
import { type Authority, makeAttestation } from '../../protocols/hello/attestation.js'
import { ATTESTATION_RENEW_BLOCKS, type Attestation, type Role } from '../../protocols/hello/messages.js'
import { Sessions } from '../../protocols/hello/sessions.js'
import type { Clock } from '../base/clock.js'
import { SubnetError } from '../base/errors.js'
import { type Startable, step } from '../base/lifecycle.js'
import type { Logger } from '../base/log.js'
import type { Chain, ChainConstants } from '../chain/chain.js'
import { publicNetwork } from '../chain/public-networks.js'
import type { SubnetView } from '../chain/subnet-view.js'
import type { Signer } from '../crypto/keys.js'
import { Libp2pNet } from '../net/libp2p-net.js'
import type { Net } from '../net/net.js'

export const AGENT = 'subnet-node/0.1.0'

export interface NetworkComponents {
  readonly clock: Clock
  readonly logger: Logger
  /** Started. */
  readonly chain: Chain
  readonly view: SubnetView
  /** Speaks for this node: its hotkey, or a client's own key. */
  readonly signer: Signer
}

export interface NetworkInit {
  readonly role: Role
  readonly peerKeySeed: Uint8Array
  /** Multiaddrs; empty for a node that only dials. */
  readonly listen: readonly string[]
  /** Multiaddr told to others instead of those listened on. */
  readonly announce?: string | undefined
}

export interface Network {
  readonly net: Net
  /** Cuts off, at every new metagraph, whoever has lost what its sessions stand on. Runs while `net` does. */
  readonly reviewing: Startable
  readonly sessions: Sessions
  readonly authority: Authority
  readonly domain: WireDomain
}

export function createNetwork(components: NetworkComponents, init: NetworkInit): Network {
  const { clock, logger, chain, view, signer } = components
  const domain = wireDomain(chain.constants)
  const isPublic = publicNetwork(chain.constants.genesisHash) !== undefined
  const net = new Libp2pNet(
    {
      netuid: domain.netuid,
      privateKeySeed: init.peerKeySeed,
      listen: init.listen,
      ...(init.announce === undefined ? {} : { announce: [init.announce] }),
      privateAddresses: !isPublic,
      dht: true,
      gossip: false,
      agent: AGENT,
    },
    { clock, logger },
  )
  const authority = authorityOf(view)
  let current: Attestation | undefined
  const attest = (): Attestation => {
    const { block } = view
    const age = block - (current?.issuedBlock ?? 0)
    // Below zero the chain has begun anew, and an attestation of its other life is from the future.
    if (current === undefined || age >= ATTESTATION_RENEW_BLOCKS || age < 0) {
      // The clock only ever moves the sequence up between two attestations that are hundreds of blocks apart.
      const fields = { role: init.role, peerId: net.peerId, block, sequence: clock.nowMs(), agent: AGENT }
      current = makeAttestation(signer, domain, fields)
    }
    return current
  }
  const sessions = new Sessions({ net, clock, authority, logger, attest }, { domain })
  let unsubscribe: (() => void) | undefined
  const reviewing = step({
    start: async () => {
      unsubscribe = view.onChange(() => sessions.review())
    },
    stop: async () => unsubscribe?.(),
  })
  return { net, reviewing, sessions, authority, domain }
}

function authorityOf(view: SubnetView): Authority {
  return {
    get block() {
      return view.block
    },
    isRegistered: (hotkey) => view.member(hotkey) !== undefined,
    isValidator: (hotkey) => view.member(hotkey)?.validatorPermit === true,
  }
}

/** Throws `CONFIG` when the chain is of another subnet than the operator means. */
export function requireNetuid(constants: ChainConstants, netuid: number | undefined): void {
  if (netuid === undefined || netuid === constants.netuid) return
  throw new SubnetError('CONFIG', `the chain is of subnet ${constants.netuid}, not ${netuid}: check --netuid`)
}
