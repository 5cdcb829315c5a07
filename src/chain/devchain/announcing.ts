/** What a hotkey announces on a devchain: its axon, and the record other nodes find it by (`serving.rs`, `pallet_commitments`). */
import { equals } from 'uint8arrays'
import { type Applied, changeSubnet, type DevchainState, refuse, subnetOf } from './ledger.js'
import { changeNeuron, neuronAt, uidOf } from './subnet.js'

/** Commitment bytes of one hotkey and epoch, and the least one call costs (`pallet_commitments`, MaxSpace). */
export const COMMITMENT_BYTES_PER_EPOCH_MAX = 3_100
export const COMMITMENT_BYTES_PER_CALL_MIN = 100

export interface Serve {
  readonly netuid: number
  /** 4 or 16 bytes. */
  readonly ip: Uint8Array
  readonly port: number
}

export interface Commit {
  readonly netuid: number
  /** See `record.ts`. */
  readonly endpoint: Uint8Array
}

export function serve(
  state: DevchainState,
  hotkey: string,
  { netuid, ip, port }: Serve,
  block: number,
): Applied {
  const subnet = subnetOf(state, netuid)
  const uid = subnet && uidOf(subnet, hotkey)
  if (subnet === undefined || uid === undefined) return refuse(state, 'HotKeyNotRegisteredInNetwork')
  if (!isServable(ip)) return refuse(state, 'InvalidIpAddress')
  const before = neuronAt(subnet, uid).axon
  const due = (before?.block ?? 0) + subnet.parameters.servingRateLimitBlocks
  if (before !== null && block < due) return refuse(state, 'ServingRateLimitExceeded', due)
  if (port === 0) return refuse(state, 'InvalidPort')
  return { state: changeSubnet(state, netuid, changeNeuron(subnet, uid, { axon: { ip, port, block } })) }
}

/** Not this machine, nor everybody; all zeros are allowed (`is_valid_ip_address`). */
function isServable(ip: Uint8Array): boolean {
  const isLoopback =
    ip.length === 4
      ? equals(ip, Uint8Array.of(127, 0, 0, 1))
      : ip[15] === 1 && ip.slice(0, 15).every((byte) => byte === 0)
  return !isLoopback && !ip.every((byte) => byte === 255)
}

export function commit(state: DevchainState, hotkey: string, { netuid, endpoint }: Commit): Applied {
  const subnet = subnetOf(state, netuid)
  const uid = subnet && uidOf(subnet, hotkey)
  if (subnet === undefined || uid === undefined) return refuse(state, 'AccountNotAllowedCommit')
  const { spaceEpoch, spaceUsedBytes } = neuronAt(subnet, uid)
  const costBytes = Math.max(endpoint.length, COMMITMENT_BYTES_PER_CALL_MIN)
  const usedBytes = (spaceEpoch === subnet.epoch ? spaceUsedBytes : 0) + costBytes
  if (usedBytes > COMMITMENT_BYTES_PER_EPOCH_MAX) {
    return refuse(state, 'SpaceLimitExceeded', subnet.lastEpochBlock + subnet.parameters.tempo)
  }
  const change = { endpoint, spaceEpoch: subnet.epoch, spaceUsedBytes: usedBytes }
  return { state: changeSubnet(state, netuid, changeNeuron(subnet, uid, change)) }
}
