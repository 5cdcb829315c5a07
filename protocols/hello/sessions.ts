/**
 * Who is behind each connection. `hello` runs once per connection, both ways; application streams pass only when it
 * has, and a stream that arrives before its `hello` is held for one deadline. Everything above opens and serves
 * streams through here, so no role ever talks to a peer it cannot name.
 */

import { toString as bytesToText } from 'uint8arrays'
import type { AbortOptions } from '../../src/base/abort.js'
import { deadline, raceAbort } from '../../src/base/abort.js'
import type { Clock } from '../../src/base/clock.js'
import { isSubnetError, SubnetError } from '../../src/base/errors.js'
import type { Logger } from '../../src/base/log.js'
import { describeRate, type Rate, RateLimit } from '../../src/base/rate-limit.js'
import { toSs58 } from '../../src/crypto/keys.js'
import type { Duplex } from '../../src/net/duplex.js'
import type { Net, PeerAddress, ProtocolLimits } from '../../src/net/net.js'
import { FrameStream, serveFrames, unlessFailure } from '../common/frames.js'
import { protocolId } from '../common/protocol.js'
import type { WireDomain } from '../common/signed.js'
import { sameKey } from '../common/signed.js'
import { isTellable } from '../common/status.js'
import type { Authority } from './attestation.js'
import { checkAttestation } from './attestation.js'
import { Conduct, FAULTS } from './conduct.js'
import type { Attestation, Role } from './messages.js'
import { HELLO, HELLO_TIMEOUT_MS, helloAnswerSchema, helloSchema, SESSIONS_MAX } from './messages.js'

/** Peers, and keys, whose streams of one protocol are counted: twice as many as can be connected. */
const LIMITED_MAX = 2 * SESSIONS_MAX

/** The proven other end of a connection. */
export interface Session {
  readonly peerId: string
  readonly role: Role
  /** Its hotkey, or a client's own key. */
  readonly key: Uint8Array
}

/** A peer we mean to reach: the session must turn out to be this hotkey. */
export interface KnownPeer extends PeerAddress {
  readonly hotkey: Uint8Array
}

/** What holds for a protocol beside the adapter's limits. */
export interface SessionLimits extends ProtocolLimits {
  /** Streams that one peer, and one key over all its peers, may open to us. */
  readonly opens: Rate
}

export type SessionHandler = (duplex: Duplex, session: Session) => Promise<void>

export interface SessionsComponents {
  readonly net: Net
  readonly clock: Clock
  readonly authority: Authority
  readonly logger: Logger
  /** Our own attestation, fresh enough to be accepted. */
  readonly attest: () => Attestation
}

export interface SessionsInit {
  readonly domain: WireDomain
  /** Default `SESSIONS_MAX`. */
  readonly sessionsMax?: number
}

/** A stream that waits for its peer's `hello`. */
interface Waiter {
  readonly resolve: (session: Session) => void
  readonly abort: (reason: unknown) => void
}

export class Sessions {
  readonly #components: SessionsComponents
  readonly #domain: WireDomain
  readonly #sessionsMax: number
  readonly #protocol: string
  readonly #sessions = new Map<string, Session>()
  readonly #dialing = new Map<string, Promise<Session>>()
  readonly #waiters = new Map<string, Set<Waiter>>()
  readonly #conduct: Conduct
  /** Streams that are being served, by whom they are served to. */
  readonly #serving = new Map<Session, Set<Duplex>>()
  readonly #hellos: (protocol: string, peerId: string) => SubnetError | undefined

  constructor(components: SessionsComponents, init: SessionsInit) {
    this.#components = components
    this.#domain = init.domain
    this.#sessionsMax = init.sessionsMax ?? SESSIONS_MAX
    this.#protocol = protocolId(HELLO, init.domain.netuid)
    this.#hellos = this.#openings(HELLO.opens)
    this.#conduct = new Conduct(components.clock, LIMITED_MAX)
    components.net.handle(
      { id: this.#protocol, inboundStreamsMax: HELLO.streamsMax, outboundStreamsMax: HELLO.streamsMax },
      (duplex, refusal) => this.#serveHello(duplex, refusal),
    )
    components.net.onDisconnect((peerId) => this.#forget(peerId))
  }

  get netuid(): number {
    return this.#domain.netuid
  }

  /** Who a connected peer has proven to be. */
  session(peerId: string): Session | undefined {
    return this.#sessions.get(peerId)
  }

  /** Opens a stream to exactly this hotkey, with `hello` first where needed. `REFUSED` if another key answers. */
  async open(peer: KnownPeer, protocol: string, options: AbortOptions = {}): Promise<Duplex> {
    const session = await this.connect(peer, options)
    if (!sameKey(session.key, peer.hotkey)) {
      throw new SubnetError(
        'REFUSED',
        `${peer.peerId} speaks for another hotkey than ${toSs58(peer.hotkey)}`,
        {
          data: { peer: peer.peerId },
        },
      )
    }
    return await this.#components.net.open(peer, protocol, options)
  }

  /** Connects and greets, once for all who ask at the same time. */
  async connect(peer: PeerAddress, options: AbortOptions = {}): Promise<Session> {
    const known = this.#sessions.get(peer.peerId)
    if (known !== undefined) return known
    let dialing = this.#dialing.get(peer.peerId)
    if (dialing === undefined) {
      // The dial serves every caller, so no single caller's signal may end it: it has its own deadline.
      dialing = this.#greet(peer).finally(() => this.#dialing.delete(peer.peerId))
      this.#dialing.set(peer.peerId, dialing)
    }
    return await raceAbort(dialing, options.signal)
  }

  /**
   * For every new metagraph: a hotkey that is not registered any more loses its connection, and one that lost its permit
   * the streams that it had opened as a validator. What they open next is refused like anybody's.
   */
  review(): void {
    // A later hello may have put another session in its place; the streams that were opened before stay its own.
    for (const session of new Set([...this.#sessions.values(), ...this.#serving.keys()])) {
      if (this.#mayAct(session)) continue
      const { peerId, key } = session
      const isMember = this.#components.authority.isRegistered(key)
      const lost = isMember ? 'has no validator permit any more' : 'is not registered any more'
      const reason = new SubnetError('REFUSED', `${toSs58(key)} ${lost}`, { data: { peer: peerId } })
      for (const duplex of this.#serving.get(session) ?? []) duplex.abort(reason)
      if (isMember || this.#sessions.get(peerId) !== session) continue
      this.#forget(peerId)
      this.#components.net.disconnect(peerId).catch((error: unknown) => {
        // It cannot do anything all the same: without its session nothing is served.
        this.#report(this.#protocol, peerId, error)
      })
    }
  }

  /** Serves a protocol to greeted peers of these roles only. */
  handle(limits: SessionLimits, roles: readonly Role[], handler: SessionHandler): void {
    const openings = this.#openings(limits.opens)
    this.#components.net.handle(limits, async (duplex, refusal) => {
      if (refusal !== undefined) {
        await this.#frames(duplex).fail(refusal)
        return
      }
      const session = await this.#require(duplex)
      if (session === undefined) return
      if (!roles.includes(session.role) || !this.#mayAct(session)) {
        await this.#frames(duplex).fail(
          new SubnetError('REFUSED', `${limits.id} is not for a ${session.role}`),
        )
        return
      }
      const names = [session.peerId, bytesToText(session.key, 'hex')]
      const busy = this.#paused(limits.id, names) ?? openings(limits.id, session.peerId, session.key)
      if (busy !== undefined) {
        await this.#frames(duplex).fail(busy)
        return
      }
      await this.#serve(session, duplex, handler).catch((error: unknown) => {
        this.#conduct.note(names, error)
        this.#report(limits.id, session.peerId, error)
      })
    })
  }

  async #serve(session: Session, duplex: Duplex, handler: SessionHandler): Promise<void> {
    const streams = this.#serving.get(session) ?? new Set()
    this.#serving.set(session, streams.add(duplex))
    try {
      await handler(duplex, session)
    } finally {
      streams.delete(duplex)
      if (streams.size === 0) this.#serving.delete(session)
    }
  }

  /** Why a peer that made too many faults is not heard now, if it did. */
  #paused(protocol: string, names: readonly string[]): SubnetError | undefined {
    const retryAfterMs = this.#conduct.pauseMs(names)
    if (retryAfterMs === 0) return undefined
    const text = `${protocol}: too many faults; the limit is ${describeRate(FAULTS)}`
    return new SubnetError('BUSY', text, { data: { retryAfterMs } })
  }

  /** Counts streams by peer and by key; what comes back names the limit that is passed, for the peer to read. */
  #openings(rate: Rate): (protocol: string, peerId: string, key?: Uint8Array) => SubnetError | undefined {
    const { clock } = this.#components
    const byPeer = new RateLimit(clock, { ...rate, keysMax: LIMITED_MAX })
    const byKey = new RateLimit(clock, { ...rate, keysMax: LIMITED_MAX })
    return (protocol, peerId, key) => {
      const peerMs = byPeer.take(peerId)
      const retryAfterMs = peerMs > 0 || key === undefined ? peerMs : byKey.take(bytesToText(key, 'hex'))
      if (retryAfterMs === 0) return undefined
      const who = peerMs > 0 ? 'peer' : 'key'
      const text = `${protocol}: too many streams from this ${who}; the limit is ${describeRate(rate)}`
      return new SubnetError('BUSY', text, { data: { retryAfterMs } })
    }
  }

  /** Authority is read at every stream, and for open ones at every metagraph: see `review`. */
  #mayAct(session: Session): boolean {
    if (session.role === 'client') return true
    if (session.role === 'validator') return this.#components.authority.isValidator(session.key)
    return this.#components.authority.isRegistered(session.key)
  }

  async #greet(peer: PeerAddress): Promise<Session> {
    const { net, clock } = this.#components
    using scope = deadline(clock, HELLO_TIMEOUT_MS, `hello with ${peer.peerId}`)
    const duplex = await net.open(peer, this.#protocol, { signal: scope.signal })
    const frames = this.#frames(duplex)
    try {
      await frames.writeMessage({ type: 'hello', attestation: this.#components.attest() }, scope)
      const answer = unlessFailure(await frames.readMessage(helloAnswerSchema, 'hello', scope), peer.peerId)
      return await this.#accept(answer.attestation, duplex.remotePeer, () => frames.end(scope))
    } catch (error) {
      frames.abort(error)
      throw error
    }
  }

  async #serveHello(duplex: Duplex, refusal: SubnetError | undefined): Promise<void> {
    const { remotePeer } = duplex
    const frames = this.#frames(duplex)
    await serveFrames(frames, async () => {
      const busy = refusal ?? this.#hellos(this.#protocol, remotePeer)
      if (busy !== undefined) throw busy
      using scope = deadline(this.#components.clock, HELLO_TIMEOUT_MS, `hello of ${remotePeer}`)
      const question = await frames.readMessage(helloSchema, 'hello', scope)
      await this.#accept(question.attestation, remotePeer, () =>
        frames.writeMessage({ type: 'hello', attestation: this.#components.attest() }, scope),
      )
    }).catch((error: unknown) => this.#report(this.#protocol, remotePeer, error))
  }

  /**
   * Makes the session and does what is left of the exchange. Where that fails it is as before: the connection may have
   * been lost before the session was there to be forgotten with it, and nothing would ever remove it.
   */
  async #accept(attestation: Attestation, remotePeer: string, finish: () => Promise<void>): Promise<Session> {
    checkAttestation(attestation, this.#domain, remotePeer, this.#components.authority)
    const before = this.#sessions.get(remotePeer)
    if (this.#sessions.size >= this.#sessionsMax && before === undefined) {
      throw new SubnetError('BUSY', 'too many sessions', { data: { retryAfterMs: HELLO_TIMEOUT_MS } })
    }
    const session: Session = { peerId: remotePeer, role: attestation.role, key: attestation.key }
    this.#sessions.set(remotePeer, session)
    try {
      await finish()
    } catch (error) {
      // Unless the connection was lost meanwhile, or another exchange has succeeded.
      if (this.#sessions.get(remotePeer) === session) {
        if (before === undefined) this.#sessions.delete(remotePeer)
        else this.#sessions.set(remotePeer, before)
      }
      throw error
    }
    for (const waiter of this.#waiters.get(remotePeer) ?? []) waiter.resolve(session)
    return session
  }

  #forget(peerId: string): void {
    this.#sessions.delete(peerId)
    const gone = new SubnetError('DISCONNECTED', `${peerId} is gone`)
    for (const waiter of this.#waiters.get(peerId) ?? []) waiter.abort(gone)
  }

  /** The session of an inbound stream, waiting one deadline for a `hello` that is on its way; or the stream is over. */
  async #require(duplex: Duplex): Promise<Session | undefined> {
    const { remotePeer } = duplex
    const known = this.#sessions.get(remotePeer)
    if (known !== undefined) return known
    using scope = deadline(this.#components.clock, HELLO_TIMEOUT_MS, `hello of ${remotePeer}`)
    const waiting = this.#waiters.get(remotePeer) ?? new Set()
    this.#waiters.set(remotePeer, waiting)
    let resolve: Waiter['resolve'] = () => undefined
    const arrival = new Promise<Session>((onArrival) => {
      resolve = onArrival
    })
    const waiter: Waiter = { resolve, abort: scope.abort }
    waiting.add(waiter)
    try {
      return await raceAbort(arrival, scope.signal)
    } catch (cause) {
      // Not thrown on: the adapter resets a stream whose handler fails, and the reset may overtake the answer.
      const text = `no hello within ${HELLO_TIMEOUT_MS} ms`
      await this.#frames(duplex).fail(new SubnetError('UNAUTHENTICATED', text, { cause }))
      return undefined
    } finally {
      waiting.delete(waiter)
      if (waiting.size === 0) this.#waiters.delete(remotePeer)
    }
  }

  #frames(duplex: Duplex): FrameStream {
    return new FrameStream(duplex, this.#components.clock, HELLO)
  }

  /** The peer was told what it may know; here only this node's own trouble is worth an operator's eye. */
  #report(protocol: string, peer: string, error: unknown): void {
    const fields = { err: error, protocol, peer }
    if (isTellable(error) || isSubnetError(error, 'DISCONNECTED') || isSubnetError(error, 'STOPPED'))
      this.#components.logger.debug(fields, 'a request failed')
    else this.#components.logger.error(fields, 'a request failed unexpectedly')
  }
}
