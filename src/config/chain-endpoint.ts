/** Where the chain is looked for: where the operator says, by address or by network, else at this machine's devchain. */
import { SubnetError } from '../base/errors.js'
import type { Config } from './resolve.js'

/**
 * As `connectChain` takes it. With an endpoint and a network the endpoint is used, and must be of that network. Throws
 * `CONFIG` when one is a devchain and the other is not.
 */
export function chainEndpoint(config: Config): string {
  const network = config.optional('subtensor.network')
  const own = `dev://127.0.0.1:${config.get('subtensor.devchain_port')}`
  if (!config.isSet('subtensor.chain_endpoint')) {
    return network === undefined || network === 'devchain' ? own : network
  }
  const endpoint = config.get('subtensor.chain_endpoint')
  if (network === undefined) return endpoint
  if (endpoint.startsWith('dev:') !== (network === 'devchain')) {
    const text = `--subtensor.chain_endpoint ${endpoint} is not of --subtensor.network ${network}`
    throw new SubnetError('CONFIG', text)
  }
  if (network === 'devchain' || network === 'local') return endpoint
  return endpoint
    .split(',')
    .map((part) => (part.includes('://') && !part.includes('#') ? `${part}#${network}` : part))
    .join(',')
}

/** Did the operator name a chain other than the one this machine may host? */
export function namesChain(config: Config): boolean {
  const network = config.optional('subtensor.network')
  return config.isSet('subtensor.chain_endpoint') || (network !== undefined && network !== 'devchain')
}

/** Is it a chain where nothing has value? */
export function isDevchain(config: Config): boolean {
  return chainEndpoint(config).startsWith('dev:')
}

/** Name of the directory for nodes of this chain and subnet: what is kept for one is worthless on another. */
export function chainDirectory(config: Config): string {
  if (isDevchain(config)) return 'dev'
  const network = config.optional('subtensor.network') ?? /^\w+$/.exec(chainEndpoint(config))?.[0]
  return `${network ?? 'custom'}-${config.get('netuid')}`
}
