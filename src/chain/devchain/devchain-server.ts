/**
 * A devchain for other processes: its `Devchain` over JSON-RPC on a WebSocket, with a limit on everything a client can
 * send or hold. It owns the port and the clients, not the chain behind it. Requests are answered as they come in, so
 * none is ever pending; what bounds a client is its rate, its message size and what it leaves unread.
 */
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type RawData, type WebSocket, WebSocketServer } from 'ws'
import type { Clock, Timer } from '../../base/clock.js'
import { invariant, SubnetError } from '../../base/errors.js'
import type { Startable } from '../../base/lifecycle.js'
import type { Logger } from '../../base/log.js'
import type { BlockHead } from '../chain.js'
import type { Devchain } from './devchain.js'
import { headText, REQUEST_BYTES_MAX } from './json-rpc.js'
import { answer, type Session } from './json-rpc-server.js'
import { RateLimit } from './rate-limit.js'

export interface DevchainServerLimits {
  /** Connections at once, open WebSockets and others together. */
  readonly clientsMax: number
  /** One client's requests in the long run and at once; more are made to wait, twice as many end the connection. */
  readonly requestsPerSecondMax: number
  /** What a client may leave unread before it is dropped. */
  readonly unreadBytesMax: number
  /** A client is asked for a sign of life this often and dropped when it gives none until the next time. */
  readonly pingIntervalMs: number
  /** For the HTTP request that opens a WebSocket. */
  readonly handshakeTimeoutMs: number
}

export const DEVCHAIN_SERVER_LIMITS: DevchainServerLimits = {
  clientsMax: 256,
  requestsPerSecondMax: 200,
  unreadBytesMax: 4 * 1024 * 1024,
  pingIntervalMs: 15_000,
  handshakeTimeoutMs: 5_000,
}

export interface DevchainServerComponents {
  readonly devchain: Devchain
  readonly clock: Clock
  readonly logger: Logger
}

export interface DevchainServerInit {
  /** Default 127.0.0.1. */
  readonly host?: string
  /** 0 takes a free one. */
  readonly port: number
  readonly limits?: Partial<DevchainServerLimits>
}

/** A client whose requests would take longer than this to come within its rate is not just fast: it floods. */
const DEBT_MS_MAX = 1_000

interface Client extends Session {
  readonly socket: WebSocket
  readonly rate: RateLimit
  alive: boolean
  resume: Timer | undefined
}

export class DevchainServer implements Startable {
  readonly #devchain: Devchain
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #host: string
  readonly #port: number
  readonly #limits: DevchainServerLimits
  readonly #clients = new Set<Client>()
  #http: Server | undefined
  #unsubscribe: readonly (() => void)[] = []
  #pingTimer: Timer | undefined

  constructor(components: DevchainServerComponents, init: DevchainServerInit) {
    this.#devchain = components.devchain
    this.#clock = components.clock
    this.#logger = components.logger
    this.#host = init.host ?? '127.0.0.1'
    this.#port = init.port
    this.#limits = { ...DEVCHAIN_SERVER_LIMITS, ...init.limits }
  }

  /** The port that is listened on. */
  get port(): number {
    const address = this.#http?.address()
    invariant(address !== null && typeof address === 'object', 'the devchain server was not started')
    return (address as AddressInfo).port
  }

  /** What other processes give to `connectChain`. */
  get endpoint(): string {
    const host = this.#host.includes(':') ? `[${this.#host}]` : this.#host
    return `dev://${host}:${this.port}`
  }

  /** Rejects with `CONFIG` when the port cannot be had; `data.reason` is the system's name, `EADDRINUSE` if taken. */
  async start(): Promise<void> {
    const http = createServer({
      requestTimeout: this.#limits.handshakeTimeoutMs,
      connectionsCheckingInterval: this.#limits.handshakeTimeoutMs,
    })
    http.maxConnections = this.#limits.clientsMax
    http.on('request', (_request, response) => response.writeHead(426, { connection: 'close' }).end())
    const sockets = new WebSocketServer({
      noServer: true,
      maxPayload: REQUEST_BYTES_MAX,
      perMessageDeflate: false,
      clientTracking: false,
    })
    http.on('upgrade', (request, socket, head) => {
      if (comesFromProgram(request)) {
        sockets.handleUpgrade(request, socket, head, (client) => this.#accept(client))
      } else socket.destroy()
    })
    await listen(http, this.#host, this.#port)
    // From here on a failure (out of file handles) costs a connection, not the server.
    http.on('error', (error) => this.#logger.warn({ err: error }, 'the devchain server met an error'))
    this.#http = http
    this.#unsubscribe = [
      this.#devchain.onHead((head) => this.#announce(head)),
      this.#devchain.misbehaviour.onDrop(() => this.#dropAll()),
    ]
    this.#schedulePing()
    this.#logger.info({ endpoint: this.endpoint }, 'devchain listens')
  }

  async stop(): Promise<void> {
    this.#pingTimer?.cancel()
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
    const http = this.#http
    this.#http = undefined
    this.#dropAll()
    if (http === undefined) return
    await new Promise<void>((resolve) => {
      http.close(() => resolve())
      http.closeAllConnections()
    })
  }

  #dropAll(): void {
    for (const client of this.#clients) client.socket.terminate()
  }

  #accept(socket: WebSocket): void {
    const { requestsPerSecondMax } = this.#limits
    const client: Client = {
      socket,
      rate: new RateLimit(this.#clock, requestsPerSecondMax),
      wantsHeads: false,
      alive: true,
      resume: undefined,
    }
    this.#clients.add(client)
    socket.on('message', (data, isBinary) => this.#receive(client, data, isBinary))
    socket.on('pong', () => {
      client.alive = true
    })
    // A client's broken frames end its own connection; 'close' follows and is what counts.
    socket.on('error', (error) => this.#logger.debug({ err: error }, 'a devchain client failed'))
    socket.on('close', () => {
      client.resume?.cancel()
      this.#clients.delete(client)
    })
  }

  #receive(client: Client, data: RawData, isBinary: boolean): void {
    client.alive = true
    const waitMs = client.rate.spend()
    if (waitMs > DEBT_MS_MAX) {
      client.socket.terminate()
      return
    }
    if (waitMs > 0 && client.resume === undefined) this.#pause(client, waitMs)
    const { misbehaviour } = this.#devchain
    if (misbehaviour.closesNow()) client.socket.terminate()
    const reply = answer(this.#devchain, client, isBinary ? undefined : data.toString(), this.#logger)
    // A silent one still does what it is asked.
    if (reply !== undefined && !misbehaviour.silent) this.#send(client, reply)
  }

  /** Leaves further requests in the client's own buffers until it may send again. */
  #pause(client: Client, waitMs: number): void {
    client.socket.pause()
    client.resume = this.#clock.after(waitMs, () => {
      client.resume = undefined
      client.socket.resume()
    })
  }

  #send(client: Client, text: string): void {
    if (client.socket.bufferedAmount > this.#limits.unreadBytesMax) client.socket.terminate()
    else client.socket.send(text)
  }

  #announce(head: BlockHead): void {
    const text = headText(head)
    for (const client of this.#clients) if (client.wantsHeads) this.#send(client, text)
  }

  #schedulePing(): void {
    this.#pingTimer = this.#clock.after(this.#limits.pingIntervalMs, () => {
      this.#schedulePing()
      for (const client of this.#clients) {
        if (!client.alive) client.socket.terminate()
        client.alive = false
        if (client.socket.readyState === client.socket.OPEN) client.socket.ping()
      }
    })
  }
}

/** Browsers always name an origin, programs do not: no web page may talk to a devchain on its reader's machine. */
function comesFromProgram(request: IncomingMessage): boolean {
  return request.headers.origin === undefined
}

function listen(http: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    http.once('error', (cause: NodeJS.ErrnoException) => {
      reject(
        new SubnetError('CONFIG', `the devchain cannot listen on ${host}:${port}: ${cause.message}`, {
          cause,
          data: { reason: cause.code ?? 'unknown', port },
        }),
      )
    })
    http.listen(port, host, () => resolve())
  })
}
