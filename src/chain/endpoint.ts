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
import { SubtensorChain } from './subtensor/adapter.js'
import { ENDPOINT_FORMS, subtensorEndpoints } from './subtensor/networks.js'

export interface ChainComponents {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

export interface ChainInit {
  /** The subnet: by default a devchain's first; on a real chain it must be given. */
  readonly netuid?: number | undefined
  /** How long `start` tries to reach the chain. Default: half a minute or more, for nodes may begin before their chain. */
  readonly startTimeoutMs?: number | undefined
}

const SUPPORTED = `write dev://host:port for a devchain, or ${ENDPOINT_FORMS}`

/** The chain at `endpoint`, seen from one subnet; throws `CONFIG` for an endpoint that is malformed or not supported. */
export function connectChain(endpoint: string, components: ChainComponents, init: ChainInit = {}): Chain {
  const { netuid, startTimeoutMs } = init
  const patience = startTimeoutMs === undefined ? {} : { startTimeoutMs }
  const subtensor = subtensorEndpoints(endpoint)
  if (subtensor === undefined) {
    const api = new DevchainClient(components, { authority: devchainAuthority(endpoint), ...patience })
    return new DevchainAdapter({ api, clock: components.clock }, netuid === undefined ? {} : { netuid })
  }
  if (netuid === undefined)
    throw new SubnetError('CONFIG', `${endpoint} has many subnets: --netuid is needed`)
  return new SubtensorChain(components, { ...subtensor, netuid, ...patience })
}

/** A devchain of this process as a `Chain`. Its owner starts and stops the devchain. */
export function localChain(devchain: Devchain, components: { readonly clock: Clock }): Chain {
  return new DevchainAdapter({ api: localApi(devchain), clock: components.clock })
}

function devchainAuthority(endpoint: string): string {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined
  if (url?.protocol !== 'dev:') {
    throw new SubnetError('CONFIG', `"${endpoint}" is no chain endpoint; ${SUPPORTED}`)
  }
  const extra = url.pathname.replace(/^\/$/, '') + url.search + url.hash + url.username + url.password
  if (url.hostname === '' || url.port === '' || url.port === '0' || extra !== '') {
    throw new SubnetError('CONFIG', `"${endpoint}" is malformed; ${SUPPORTED}`)
  }
  return url.host
}
