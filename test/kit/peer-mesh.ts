/**
 * Greeted peers in memory: what one opens, the other serves over a pair of duplexes, with the role and key it joined
 * with. Stands for `Sessions` and the network beneath it; `hello` itself is not played.
 */

import { sameKey } from '../../protocols/common/signed.js'
import type { Role } from '../../protocols/hello/messages.js'
import type { KnownPeer, Session, SessionHandler, Sessions } from '../../protocols/hello/sessions.js'
import { type AbortOptions, raceAbort } from '../../src/base/abort.js'
import { SubnetError } from '../../src/base/errors.js'
import type { Duplex } from '../../src/net/duplex.js'
import type { PeerAddress, ProtocolLimits } from '../../src/net/net.js'
import { duplexPair } from './duplex-pair.js'
import { TEST_DOMAIN } from './test-subnet.js'

interface Node {
  readonly session: Session
  readonly handlers: Map<string, { readonly roles: readonly Role[]; readonly handler: SessionHandler }>
}

/** How a peer takes streams: `up`; `down`, nobody answers the dial; `silent`, the dial never ends. */
export type PeerState = 'up' | 'down' | 'silent'

export class PeerMesh {
  readonly #nodes = new Map<string, Node>()
  readonly #states = new Map<string, PeerState>()
  /** Every stream that was asked for, as "<protocol name> <peer id>". */
  readonly opened: string[] = []
  readonly #duplexes = new Map<string, Duplex[]>()

  /** The `Sessions` of a new peer. */
  join(session: Session): Sessions {
    const node: Node = { session, handlers: new Map() }
    this.#nodes.set(session.peerId, node)
    const sessions = {
      netuid: TEST_DOMAIN.netuid,
      session: (peerId: string) => this.#nodes.get(peerId)?.session,
      open: (peer: KnownPeer, protocol: string, options?: AbortOptions) =>
        this.#open(session, peer, protocol, options),
      connect: (peer: PeerAddress, options?: AbortOptions) => this.#connect(peer, options),
      handle: (limits: ProtocolLimits, roles: readonly Role[], handler: SessionHandler) =>
        node.handlers.set(limits.id, { roles, handler }),
    }
    // A class with private fields is met by nothing else, and protocols use of it only what is here.
    return sessions as unknown as Sessions
  }

  /** From now on; `down` also cuts the streams that are open to it. */
  set(peerId: string, state: PeerState): void {
    this.#states.set(peerId, state)
    if (state !== 'down') return
    for (const duplex of this.#duplexes.get(peerId) ?? []) {
      duplex.abort(new SubnetError('DISCONNECTED', `${peerId} is down`))
    }
  }

  /** How many streams of a protocol were opened to a peer, or to all. */
  streams(protocol: string, peerId = ''): number {
    return this.opened.filter((text) => text.startsWith(protocol) && text.endsWith(peerId)).length
  }

  async #connect(peer: PeerAddress, options: AbortOptions = {}): Promise<Session> {
    options.signal?.throwIfAborted()
    const state = this.#states.get(peer.peerId) ?? 'up'
    if (state === 'silent') await raceAbort(new Promise(() => undefined), options.signal)
    const session = this.#nodes.get(peer.peerId)?.session
    if (state === 'down' || session === undefined)
      throw new SubnetError('DISCONNECTED', `cannot reach ${peer.peerId}`)
    return session
  }

  async #open(from: Session, peer: KnownPeer, protocol: string, options?: AbortOptions): Promise<Duplex> {
    this.opened.push(`${protocol.split('/')[3]} ${peer.peerId}`)
    const { key } = await this.#connect(peer, options)
    if (!sameKey(key, peer.hotkey)) throw new SubnetError('REFUSED', 'another hotkey answers')
    const served = this.#nodes.get(peer.peerId)?.handlers.get(protocol)
    if (served === undefined || !served.roles.includes(from.role))
      throw new SubnetError('REFUSED', `${peer.peerId} does not serve ${protocol}`)
    const [near, far] = duplexPair({ peers: [from.peerId, peer.peerId] })
    this.#duplexes.set(peer.peerId, [...(this.#duplexes.get(peer.peerId) ?? []), near])
    // How a stream failed was told to the peer; the server's log is not looked at.
    served.handler(far, from).catch(() => undefined)
    return near
  }
}
