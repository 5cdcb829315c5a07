/** What the `Net` conformance suite (`net.ts`) stands on: its factory, the nodes of one test, and small tools. */
import { isSubnetError, type SubnetError } from '../../src/base/errors.js'
import type { Duplex } from '../../src/net/duplex.js'
import type { GossipHandler, GossipVerdict, Net, PeerAddress, StreamHandler } from '../../src/net/net.js'
import { until } from '../kit/until.js'
import { steady } from './duplex.js'

export interface NetSettings {
  /** Default true; a node that does not listen only dials. */
  readonly listen?: boolean
  readonly dht?: boolean
  readonly gossip?: boolean
  /** Default 1. */
  readonly netuid?: number
}

export interface NetSuite {
  readonly name: string
  /** A node that was not started yet, with an identity of its own; nodes of one test reach each other. */
  create(settings?: NetSettings): Net
}

export const ECHO = { id: '/test/echo/1', inboundStreamsMax: 4, outboundStreamsMax: 4 }
/** Ten times what the slowest of these usually takes. */
export const DEADLINE_MS = 10_000

/** The started nodes of one test; stops them at its end. */
export class World implements AsyncDisposable {
  readonly #suite: NetSuite
  readonly #started: Net[] = []

  constructor(suite: NetSuite) {
    this.#suite = suite
  }

  async start(...nets: Net[]): Promise<void> {
    for (const net of nets) {
      this.#started.push(net)
      await net.start()
    }
  }

  async add<T extends readonly NetSettings[]>(...settings: T): Promise<{ [K in keyof T]: Net }> {
    const nets = settings.map((each) => this.#suite.create(each))
    await this.start(...nets)
    return nets as { [K in keyof T]: Net }
  }

  /** Two nodes that serve `ECHO` with the given handler. */
  async pair(handler: StreamHandler, dialler: NetSettings = {}): Promise<{ a: Net; b: Net }> {
    const [a, b] = [this.#suite.create(dialler), this.#suite.create()]
    for (const net of [a, b]) net.handle(ECHO, handler)
    await this.start(a, b)
    return { a, b }
  }

  async echo(dialler: NetSettings = {}): Promise<{ a: Net; b: Net; seen: string[] }> {
    const seen: string[] = []
    const nets = await this.pair(async (duplex) => {
      seen.push(duplex.remotePeer)
      for (let piece = await duplex.read(); piece !== undefined; piece = await duplex.read()) {
        await duplex.write(piece)
      }
    }, dialler)
    return { ...nets, seen }
  }

  /** Three subscribers in a line; the middle one gives `verdict` on messages that are not "good". */
  async line(verdict: GossipVerdict): Promise<{ nets: [Net, Net, Net]; topics: [Topic, Topic, Topic] }> {
    const on = { gossip: true }
    const nets = await this.add(on, on, on)
    const topics: [Topic, Topic, Topic] = [topic(), topic(verdict), topic()]
    for (const [index, net] of nets.entries()) net.subscribe('news', (topics[index] as Topic).handler)
    await nets[0].connect(addressOf(nets[1]))
    await nets[2].connect(addressOf(nets[1]))
    // Ready when the middle one passes on: publish until it comes out at the other end, then start afresh.
    await until(
      async () => {
        await nets[0].publish('news', bytesOf('good'))
        await nets[2].publish('news', bytesOf('good'))
        return topics[2].delivered.length > 0 && topics[0].delivered.length > 0
      },
      { deadlineMs: DEADLINE_MS, title: 'the line passes messages on' },
    )
    await steady(() => topics.reduce((sum, { validated }) => sum + validated.length, 0))
    for (const each of topics) each.clear()
    return { nets, topics }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const net of this.#started.reverse()) await net.stop()
  }
}

export interface Topic {
  readonly handler: GossipHandler
  readonly delivered: string[]
  readonly validated: string[]
  clear(): void
}

export function topic(verdict: GossipVerdict = 'accept'): Topic {
  const [delivered, validated]: [string[], string[]] = [[], []]
  return {
    delivered,
    validated,
    clear() {
      delivered.length = 0
      validated.length = 0
    },
    handler: {
      maxBytes: 1000,
      validate(bytes) {
        const text = Buffer.from(bytes).toString()
        validated.push(text)
        return text === 'good' ? 'accept' : verdict
      },
      deliver: (bytes, fromPeer) => delivered.push(`${Buffer.from(bytes).toString()} from ${fromPeer}`),
    },
  }
}

export async function collect(peers: AsyncIterable<PeerAddress>): Promise<PeerAddress[]> {
  const found: PeerAddress[] = []
  for await (const peer of peers) found.push(peer)
  return found
}

/** One round trip and the end of both sides. */
export async function echo(duplex: Duplex, text: string): Promise<string> {
  await duplex.write(bytesOf(text))
  await duplex.closeWrite()
  const pieces: Uint8Array[] = []
  for (let piece = await duplex.read(); piece !== undefined; piece = await duplex.read()) pieces.push(piece)
  return Buffer.concat(pieces).toString()
}

export function addressOf(net: Net): PeerAddress {
  return { peerId: net.peerId, addresses: net.addresses() }
}

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

export function withCode(code: SubnetError['code']): (error: unknown) => boolean {
  return (error) => isSubnetError(error, code)
}
