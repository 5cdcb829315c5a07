/** Where a node listens and what it tells others, from its own settings or from Bittensor's `--axon.*`. */
import { isIP } from 'node:net'
import { SubnetError } from '../base/errors.js'
import { DEFAULT_AXON_PORT } from './defaults.js'
import type { Config } from './resolve.js'
import { flagOf, type SettingName } from './settings.js'

export interface NodeAddresses {
  /** Multiaddr to listen on. */
  readonly listen: string
  /** Multiaddr to tell others; without one they are told where it listens. */
  readonly announce?: string
}

/** Throws `CONFIG` when two settings speak of the same thing, or an `--axon.*` address is none. */
export function nodeAddresses(config: Config): NodeAddresses {
  const announce = announcedAddress(config)
  return { listen: listenAddress(config), ...(announce === undefined ? {} : { announce }) }
}

function listenAddress(config: Config): string {
  if (!config.isSet('axon.ip') && !config.isSet('axon.port')) return config.get('listen')
  refuseBoth(config, 'listen', config.isSet('axon.port') ? 'axon.port' : 'axon.ip')
  return multiaddrOf(config, 'axon.ip', '0.0.0.0', config.optional('axon.port') ?? DEFAULT_AXON_PORT)
}

function announcedAddress(config: Config): string | undefined {
  if (!config.isSet('axon.external_ip')) {
    if (config.isSet('axon.external_port')) {
      throw new SubnetError('CONFIG', `${flagOf('axon.external_port')} needs ${flagOf('axon.external_ip')}`)
    }
    return config.optional('announce')
  }
  refuseBoth(config, 'announce', 'axon.external_ip')
  const port = config.optional('axon.external_port') ?? config.optional('axon.port') ?? DEFAULT_AXON_PORT
  return multiaddrOf(config, 'axon.external_ip', '', port)
}

function multiaddrOf(
  config: Config,
  name: 'axon.ip' | 'axon.external_ip',
  fallback: string,
  port: number,
): string {
  const ip = config.optional(name) ?? fallback
  const version = isIP(ip)
  if (version === 0) throw new SubnetError('CONFIG', `${flagOf(name)}: "${ip}" is no IP address`)
  return `/ip${version}/${ip}/tcp/${port}`
}

function refuseBoth(config: Config, own: SettingName, bittensors: SettingName): void {
  if (!config.isSet(own)) return
  throw new SubnetError('CONFIG', `${flagOf(own)} and ${flagOf(bittensors)} say the same thing: give one`)
}
