/** Where the chain is looked for: where the operator says, else at this machine's devchain. */
import type { Config } from './resolve.js'

export function chainEndpoint(config: Config): string {
  return config.isSet('subtensor.chain_endpoint')
    ? config.get('subtensor.chain_endpoint')
    : `dev://127.0.0.1:${config.get('subtensor.devchain_port')}`
}
