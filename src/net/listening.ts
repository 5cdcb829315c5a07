/** Whether an address can be listened on, found out by doing so for a moment. */
import { createServer } from 'node:net'

/** A TCP address of this machine. */
export interface TcpAddress {
  readonly host: string
  readonly port: number
}

/** Of a multiaddr such as `/ip4/0.0.0.0/tcp/4001`; `undefined` for anything else. */
export function tcpAddressOf(address: string): TcpAddress | undefined {
  const [, host, port] = /^\/ip[46]\/([^/]+)\/tcp\/(\d+)$/.exec(address) ?? []
  return host === undefined || port === undefined ? undefined : { host, port: Number(port) }
}

/** Why nobody can listen there now, as `node:net` says it; `undefined` if one can. */
export function listenFailure({ host, port }: TcpAddress): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', resolve)
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)))
  })
}
