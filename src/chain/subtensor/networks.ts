/**
 * Subtensor networks by the names Bittensor's `--subtensor.network` knows, and how an operator's text becomes endpoints.
 * Genesis hashes are what tells networks apart; an endpoint only claims to be one.
 */
import { SubnetError } from '../../base/errors.js'
import { PUBLIC_GENESIS } from '../public-networks.js'

export interface Network {
  readonly endpoint: string
  /** Absent where every chain has its own. */
  readonly genesisHash?: string
}

/** Sources: the chain specs and documentation of opentensor/subtensor. */
export const NETWORKS: Readonly<Record<'finney' | 'test' | 'local', Network>> = {
  finney: {
    endpoint: 'wss://entrypoint-finney.opentensor.ai:443',
    genesisHash: PUBLIC_GENESIS.finney,
  },
  test: {
    endpoint: 'wss://test.finney.opentensor.ai:443',
    genesisHash: PUBLIC_GENESIS.test,
  },
  local: { endpoint: 'ws://127.0.0.1:9944' },
}

/** Where a subtensor chain is asked for, in order of preference, and which chain it must be. */
export interface SubtensorEndpoints {
  readonly urls: readonly string[]
  /** `undefined`: whatever the first endpoint that answers has, from then on. */
  readonly genesisHash: string | undefined
}

export const ENDPOINT_FORMS =
  'finney, test, local, or ws(s)://host:port[#network]; several with commas, the first that works is used'

/**
 * `finney`, `ws://own:9944`, `ws://own:9944#finney,finney`: names stand for their public endpoint, and a name, also as
 * a fragment, says which genesis all of them must have. `undefined` when no part has this form; throws `CONFIG` when
 * only some have, or two networks are named.
 */
export function subtensorEndpoints(text: string): SubtensorEndpoints | undefined {
  const parts = text.split(',').map((part) => part.trim())
  const parsed = parts.map(endpointOf)
  const found = parsed.filter((part) => part !== undefined)
  if (found.length === 0) return undefined
  const wrong = parts[parsed.indexOf(undefined)]
  if (wrong !== undefined) throw unusable(`"${wrong}" is no endpoint of a subtensor chain`)
  const genesisHashes = new Set(found.flatMap(({ genesisHash }) => genesisHash ?? []))
  if (genesisHashes.size > 1) throw unusable(`"${text}" names two networks: endpoints are of one chain`)
  const [genesisHash] = genesisHashes
  return { urls: [...new Set(found.map(({ url }) => url))], genesisHash }
}

function endpointOf(part: string): { readonly url: string; readonly genesisHash?: string } | undefined {
  const named = networkOf(part)
  if (named !== undefined) return { ...named, url: named.endpoint }
  const url = URL.canParse(part) ? new URL(part) : undefined
  if (url === undefined || !/^wss?:$/.test(url.protocol)) return undefined
  const name = url.hash.slice(1)
  const network = networkOf(name)
  if (name !== '' && network === undefined) throw unusable(`"${part}": there is no network "${name}"`)
  url.hash = ''
  return { url: url.href.replace(/\/$/, ''), ...genesisOf(network) }
}

function networkOf(name: string): Network | undefined {
  return Object.hasOwn(NETWORKS, name) ? NETWORKS[name as keyof typeof NETWORKS] : undefined
}

function genesisOf(network: Network | undefined): { readonly genesisHash?: string } {
  return network?.genesisHash === undefined ? {} : { genesisHash: network.genesisHash }
}

function unusable(text: string): SubnetError {
  return new SubnetError('CONFIG', `${text}; write ${ENDPOINT_FORMS}`)
}
