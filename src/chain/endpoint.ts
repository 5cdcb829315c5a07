/** From what an operator writes as the chain's endpoint to a `Chain`. Opens nothing: that is `start`. */
import type { Clock } from '../base/clock.js'
import { SubnetError } from '../base/errors.js'
import type { Logger } from '../base/log.js'
import type { Random } from '../base/random.js'
import type { Chain } from './chain.js'
import { DevchainAdapter } from './devchain/adapter.js'
import { localApi } from './devchain/api.js'
import type { Devchain } from './devchain/devchain.js'
import { DevchainClient } from './devchain/devchain-client.js'

export interface ChainComponents {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

const SUPPORTED = 'supported now: a devchain as dev://host:port'

/**
 * The chain at `endpoint`, seen from the subnet `netuid`, by default a devchain's first; throws `CONFIG` for an endpoint that
 * is malformed or not supported.
 */
export function connectChain(endpoint: string, components: ChainComponents, netuid?: number): Chain {
  const api = new DevchainClient(components, { authority: devchainAuthority(endpoint) })
  return new DevchainAdapter({ api, clock: components.clock }, netuid === undefined ? {} : { netuid })
}

/** A devchain of this process as a `Chain`. Its owner starts and stops the devchain. */
export function localChain(devchain: Devchain, components: { readonly clock: Clock }): Chain {
  return new DevchainAdapter({ api: localApi(devchain), clock: components.clock })
}

function devchainAuthority(endpoint: string): string {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined
  if (url?.protocol !== 'dev:') {
    throw new SubnetError('CONFIG', `"${endpoint}" is no chain endpoint this version speaks to; ${SUPPORTED}`)
  }
  const extra = url.pathname.replace(/^\/$/, '') + url.search + url.hash + url.username + url.password
  if (url.hostname === '' || url.port === '' || url.port === '0' || extra !== '') {
    throw new SubnetError('CONFIG', `"${endpoint}" is malformed; ${SUPPORTED}`)
  }
  return url.host
}
