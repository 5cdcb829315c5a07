/**
 * A devchain inside a node's process, so that two nodes on one machine form a network without any setting. The first
 * to take the port is the host; whoever comes later, or loses the race, joins.
 */
import type { Clock } from '../base/clock.js'
import { isSubnetError } from '../base/errors.js'
import { type Startable, sequence } from '../base/lifecycle.js'
import type { Logger } from '../base/log.js'
import type { Random } from '../base/random.js'
import { Devchain } from '../chain/devchain/devchain.js'
import { DevchainServer } from '../chain/devchain/devchain-server.js'
import { DEVCHAIN_DEFAULTS } from '../chain/devchain/genesis.js'

export interface DevchainHostComponents {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

export interface DevchainHostInit {
  /** Default 127.0.0.1. */
  readonly host?: string
  readonly port: number
  /** Default 1 s. Another value is another chain: data made on one does not fit the other. */
  readonly blockMs?: number
}

/** The hosted chain, to be stopped after everything that uses it. */
export interface HostedDevchain {
  readonly endpoint: string
  readonly parts: Startable
}

/** Everybody's first devchain has the same genesis, so that data survives the restart of its host. */
const GENESIS_NAME = 'devchain'

/** Serves a fresh devchain. Rejects with `CONFIG` when the port is taken. */
export async function hostDevchain(
  components: DevchainHostComponents,
  init: DevchainHostInit,
): Promise<HostedDevchain> {
  const devchain = new Devchain(components, {
    genesis: {
      ...DEVCHAIN_DEFAULTS,
      blockMs: init.blockMs ?? DEVCHAIN_DEFAULTS.blockMs,
      name: GENESIS_NAME,
      neurons: [],
    },
  })
  const server = new DevchainServer({ ...components, devchain }, init)
  // The port first: whoever loses it has made no block.
  const parts = sequence([server, devchain])
  await parts.start()
  return { endpoint: server.endpoint, parts }
}

/** The same, or `undefined` when somebody serves on that port already. */
export async function hostOrJoinDevchain(
  components: DevchainHostComponents,
  init: DevchainHostInit,
): Promise<HostedDevchain | undefined> {
  try {
    return await hostDevchain(components, init)
  } catch (error) {
    if (isSubnetError(error, 'CONFIG') && error.data.reason === 'EADDRINUSE') return undefined
    throw error
  }
}
