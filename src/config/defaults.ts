/** Defaults a user can change, each with its unit and reason. Limits that are part of a protocol live with it. */
import { availableParallelism, homedir } from 'node:os'
import { join } from 'node:path'

/** The subnet when none is given. */
export const DEFAULT_NETUID = 1
/** Share of the free disk a miner offers when no capacity is given: small enough to be harmless anywhere. */
export const DEFAULT_THRESHOLD = 0.0001
export const DEFAULT_WALLET_NAME = 'default'
export const DEFAULT_WALLET_HOTKEY = 'default'
/** Loopback: a node is public only when its operator says so. Port 0 is any free one. */
export const DEFAULT_LISTEN = '/ip4/127.0.0.1/tcp/0'
/** Bittensor's own default for `--axon.port`. */
export const DEFAULT_AXON_PORT = 8091
export const DEFAULT_PROFILE = 'small'
/** 7,200 blocks of 12 s are a day; leases last 30 days unless asked otherwise. */
export const DEFAULT_LEASE_BLOCKS = 30 * 7_200

/**
 * Threads of a client that encode and decode. One core is left to the event loop, which ciphers every connection: on two
 * cores a second thread only delays it (bench/coding.ts). Four outrun what one process can send.
 */
export function defaultCodingThreads(): number {
  return Math.max(1, Math.min(availableParallelism() - 1, 4))
}

/** Where shards and ledgers live when nothing else is said. */
export function defaultDbRootPath(): string {
  return join(homedir(), 'bittensor-db')
}

export function defaultWalletPath(): string {
  return join(homedir(), '.bittensor', 'wallets')
}

/** Where a devnet's chain listens and clients look for it, unless told otherwise. Not the port of a real node. */
export const DEFAULT_DEVCHAIN_PORT = 9955
export const DEFAULT_CHAIN_ENDPOINT = `dev://127.0.0.1:${DEFAULT_DEVCHAIN_PORT}`
export const DEFAULT_DEVCHAIN_BLOCK_MS = 1_000
/** Between two visits of a validator to a miner on a devchain: its blocks come every second. */
export const DEV_VISIT_INTERVAL_MS = 2_000
/** What a miner on a devchain offers unless told otherwise. */
export const DEV_CAPACITY_BYTES = 2 ** 30
