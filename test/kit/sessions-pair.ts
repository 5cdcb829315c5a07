/**
 * Two peers that run the real `Sessions` over a network in memory, for tests of the protocols above: `near` asks, `far`
 * serves. Blocks, registrations and time are the test's. Wait for `cryptoReady` first.
 */
import { FrameStream } from '../../protocols/common/frames.js'
import { type ProtocolSpec, protocolId } from '../../protocols/common/protocol.js'
import type { WireDomain } from '../../protocols/common/signed.js'
import { type Authority, makeAttestation } from '../../protocols/hello/attestation.js'
import type { Attestation, Role } from '../../protocols/hello/messages.js'
import { type KnownPeer, type SessionHandler, Sessions } from '../../protocols/hello/sessions.js'
import type { LogFields, Logger } from '../../src/base/log.js'
import { sha256 } from '../../src/crypto/hash.js'
import { ed25519Signer, type Signer, sr25519Signer } from '../../src/crypto/keys.js'
import type { Duplex } from '../../src/net/duplex.js'
import type { DuplexPairInit } from './duplex-pair.js'
import { FakeClock, turn } from './fake-clock.js'
import { type MemoryNet, MemoryNetwork } from './memory-net.js'
import { TEST_DOMAIN } from './test-subnet.js'
import { hex } from './vectors.js'

/** A signer of the role's scheme; the same name always gives the same one. */
export function signerOf(role: Role, name: string): Signer {
  const seed = sha256(new TextEncoder().encode(`${role} ${name}`))
  return role === 'client' ? ed25519Signer(seed) : sr25519Signer(seed)
}

/** An `Authority` that says what the test says. */
export class TestAuthority implements Authority {
  block = 10_000
  readonly #registered = new Set<string>()
  readonly #validators = new Set<string>()

  isRegistered(hotkey: Uint8Array): boolean {
    return this.#registered.has(hex(hotkey))
  }

  isValidator(hotkey: Uint8Array): boolean {
    return this.#validators.has(hex(hotkey))
  }

  register(hotkey: Uint8Array, role: Role): void {
    if (role === 'client') return
    this.#registered.add(hex(hotkey))
    if (role === 'validator') this.#validators.add(hex(hotkey))
  }

  deregister(hotkey: Uint8Array): void {
    this.#registered.delete(hex(hotkey))
    this.#validators.delete(hex(hotkey))
  }
}

/** Keeps what was logged at `error`: what an operator would be woken for. */
export class AlarmLogger implements Logger {
  readonly alarms: LogFields[] = []

  error(fields: LogFields): void {
    this.alarms.push(fields)
  }
  warn(): void {}
  info(): void {}
  debug(): void {}
  child(): Logger {
    return this
  }
}

export interface TestPeerInit {
  readonly role: Role
  /** Default: the role's name. */
  readonly name?: string
  /** Name of its peer, where one key has several. Default: `name`. */
  readonly peer?: string
  readonly domain?: WireDomain
  readonly sessionsMax?: number
  /** Replaces the honest attestation. */
  readonly attest?: (honest: Attestation) => Attestation
}

export class TestPeer {
  readonly role: Role
  readonly net: MemoryNet
  readonly signer: Signer
  readonly logger = new AlarmLogger()
  readonly sessions: Sessions
  readonly known: KnownPeer
  readonly clock: FakeClock
  readonly authority: TestAuthority

  constructor(subnet: TestPeers, init: TestPeerInit) {
    const { role, name = role, domain = TEST_DOMAIN } = init
    const { clock, authority } = subnet
    this.role = role
    this.clock = clock
    this.authority = authority
    this.net = subnet.network.join(`peer-of-${init.peer ?? name}`)
    this.signer = signerOf(role, name)
    this.known = { peerId: this.net.peerId, addresses: [], hotkey: this.signer.publicKey }
    authority.register(this.signer.publicKey, role)
    let current: Attestation | undefined
    const attest = () => {
      const fields = { role, peerId: this.net.peerId, block: authority.block, sequence: 1, agent: 'test/0' }
      if (current?.issuedBlock !== fields.block) {
        const honest = makeAttestation(this.signer, domain, fields)
        current = init.attest?.(honest) ?? honest
      }
      return current
    }
    this.sessions = new Sessions(
      { net: this.net, clock, authority, logger: this.logger, attest },
      { ...init, domain },
    )
  }

  /** What a protocol's client takes. */
  get components(): {
    readonly sessions: Sessions
    readonly clock: FakeClock
    readonly authority: TestAuthority
  } {
    return this
  }

  /** A stream to a peer, greeted, whose frames the test writes itself. */
  async openRaw(peer: TestPeer, spec: ProtocolSpec): Promise<FrameStream> {
    const duplex = await this.sessions.open(peer.known, protocolId(spec, this.sessions.netuid))
    return new FrameStream(duplex, this.clock, spec)
  }

  /** Serves a protocol with frames the test writes itself. */
  serveRaw(
    spec: ProtocolSpec,
    roles: readonly Role[],
    exchange: (frames: FrameStream, duplex: Duplex) => Promise<void>,
  ): void {
    const handler: SessionHandler = (duplex) => exchange(new FrameStream(duplex, this.clock, spec), duplex)
    const id = protocolId(spec, this.sessions.netuid)
    this.sessions.handle(
      { id, inboundStreamsMax: 64, outboundStreamsMax: 64, opens: spec.opens },
      roles,
      handler,
    )
  }
}

export class TestPeers {
  readonly network: MemoryNetwork
  readonly clock: FakeClock
  readonly authority = new TestAuthority()

  constructor(streams: DuplexPairInit = {}, clock = new FakeClock()) {
    this.network = new MemoryNetwork(streams)
    this.clock = clock
  }

  peer(init: TestPeerInit): TestPeer {
    return new TestPeer(this, init)
  }
}

export interface SessionsPair {
  readonly clock: FakeClock
  readonly authority: TestAuthority
  readonly near: TestPeer
  readonly far: TestPeer
}

/** Two peers that have not met yet. */
export function sessionsPair(
  near: TestPeerInit,
  far: TestPeerInit,
  streams: DuplexPairInit = {},
): SessionsPair {
  const peers = new TestPeers(streams)
  return { clock: peers.clock, authority: peers.authority, near: peers.peer(near), far: peers.peer(far) }
}

/** Begins a header of this many bytes. */
export async function writeLength(frames: FrameStream, lengthBytes: number): Promise<void> {
  const prefix = new Uint8Array(4)
  new DataView(prefix.buffer).setUint32(0, lengthBytes)
  await frames.writeBody(prefix)
}

/** Lets everything run until only timers are waited for. */
export async function settle(): Promise<void> {
  for (let round = 0; round < 20; round += 1) await turn()
}
