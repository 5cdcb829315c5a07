/**
 * A devchain inside a node's process, so that two nodes on one machine form a network without any setting. The first
 * to take the port is the host; whoever comes later, or loses the race, joins.
 */
import type { Clock } from '../base/clock.js'
import { isSubnetError, SubnetError } from '../base/errors.js'
import { type Startable, sequence } from '../base/lifecycle.js'
import type { Logger } from '../base/log.js'
import type { Random } from '../base/random.js'
import { Devchain } from '../chain/devchain/devchain.js'
import { DevchainServer } from '../chain/devchain/devchain-server.js'
import { DEVCHAIN_DEFAULTS } from '../chain/devchain/genesis.js'
import { DevchainStore } from '../chain/devchain/store.js'
import { dataLock, IN_USE } from '../shard/data-lock.js'

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
  /** Directory in which it outlives its process; without one it does not. */
  readonly path?: string
  /** Forgets what is in the directory. */
  readonly fresh?: boolean
  /** Clients may tell it to misbehave. */
  readonly misbehave?: boolean
}

/** The hosted chain, to be stopped after everything that uses it. */
export interface HostedDevchain {
  readonly endpoint: string
  readonly parts: Startable
}

/** Everybody's first devchain has the same genesis, so that data survives the restart of its host. */
const GENESIS_NAME = 'devchain'

/**
 * Serves the devchain of the directory, or a fresh one. Rejects with `CONFIG` when the port is taken, and with `DATA_DIR`
 * when the directory is in use, damaged, or of another chain.
 */
export async function hostDevchain(
  components: DevchainHostComponents,
  init: DevchainHostInit,
): Promise<HostedDevchain> {
  const store = init.path === undefined ? undefined : new DevchainStore(init.path)
  const devchain = new Devchain(components, {
    ...(store === undefined ? {} : { store }),
    remoteMisbehaviour: init.misbehave === true,
    genesis: {
      ...DEVCHAIN_DEFAULTS,
      blockMs: init.blockMs ?? DEVCHAIN_DEFAULTS.blockMs,
      name: GENESIS_NAME,
      neurons: [],
    },
  })
  const server = new DevchainServer({ ...components, devchain }, init)
  // The port first: whoever loses it has made no block.
  const parts = sequence([
    server,
    ...(init.path === undefined ? [] : [chainLock(init.path)]),
    clearing(init, store),
    devchain,
  ])
  await parts.start()
  return { endpoint: server.endpoint, parts }
}

function clearing({ fresh }: DevchainHostInit, store: DevchainStore | undefined): Startable {
  return {
    start: async () => {
      if (fresh === true) await store?.clear()
    },
    stop: async () => undefined,
  }
}

function chainLock(path: string): Startable {
  const lock = dataLock(path)
  return {
    async start(options) {
      try {
        await lock.start(options)
      } catch (error) {
        if (!isSubnetError(error, 'DATA_DIR') || error.data.reason !== IN_USE) throw error
        const text = `${path} is the directory of a devchain that is running: end that one, or use another --subtensor.devchain_path`
        throw new SubnetError('DATA_DIR', text, { cause: error, data: error.data })
      }
    },
    stop: () => lock.stop(),
  }
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
