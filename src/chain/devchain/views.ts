/** A devchain's state as the `Chain` port shows it. */
import { toSs58 } from '../../crypto/keys.js'
import type { ChainRecord, Hyperparameters, Metagraph, Neuron, SubnetInfo } from '../chain.js'
import { nextAnchoredEpochBlock } from '../epoch.js'
import { ipToText } from '../ip.js'
import { decodeEndpoint } from '../record.js'
import { startAllowedAtBlock } from './ownership.js'
import { type DevchainNeuron, type Row, type Subnet, stakeOf } from './subnet.js'

/** Owns what nobody owns, as on the real chain. */
const NOBODY = new Uint8Array(32)

export function metagraphOf(subnet: Subnet, block: number): Metagraph {
  const { netuid, epoch, lastEpochBlock, parameters } = subnet
  const neurons = subnet.neurons.map((neuron, uid) => neuronView(subnet, neuron, uid))
  const nextEpochBlock = nextAnchoredEpochBlock(lastEpochBlock, parameters.tempo, block)
  return { netuid, block, epoch, nextEpochBlock, neurons }
}

function neuronView(subnet: Subnet, neuron: DevchainNeuron, uid: number): Neuron {
  const { hotkey, coldkey, validatorPermit, registeredAtBlock, axon } = neuron
  const { lastUpdateBlock, active, consensus, incentive, dividends, validatorTrust, emissionRao } = neuron
  return {
    ...{ uid, hotkey, coldkey, stakeRao: stakeOf(subnet, hotkey), validatorPermit, registeredAtBlock },
    ...{ lastUpdateBlock, active, consensus, incentive, dividends, validatorTrust, emissionRao },
    ...(axon === null ? {} : { axon: { ip: ipToText(axon.ip), port: axon.port } }),
  }
}

/** Every node asks at every block, and the state hands on the same bytes: a peer id in text costs more than all the rest. */
const DECODED = new WeakMap<Uint8Array, ChainRecord>()

export function recordsOf(subnet: Subnet): ReadonlyMap<string, ChainRecord> {
  const records = new Map<string, ChainRecord>()
  for (const { hotkey, endpoint } of subnet.neurons) {
    if (endpoint === null) continue
    const record = DECODED.get(endpoint) ?? decodeEndpoint(endpoint)
    DECODED.set(endpoint, record)
    records.set(hotkey, record)
  }
  return records
}

export function weightsOf(subnet: Subnet): ReadonlyMap<number, Row> {
  const rows = new Map<number, Row>()
  subnet.neurons.forEach(({ weights }, uid) => {
    if (weights.length > 0) rows.set(uid, weights)
  })
  return rows
}

export function hyperparametersOf({ parameters, burnRao }: Subnet): Hyperparameters {
  const {
    servingRateLimitBlocks: _serving,
    burnHalfLifeBlocks: _halfLife,
    minNonImmuneUids: _min,
    ...shown
  } = parameters
  return { ...shown, burnRao }
}

export function subnetInfoOf(subnet: Subnet): SubnetInfo {
  const { netuid, owner, registeredAtBlock, firstEmissionBlock, identity } = subnet
  return {
    netuid,
    ownerColdkey: owner?.coldkey ?? toSs58(NOBODY),
    ownerHotkey: owner?.hotkey ?? toSs58(NOBODY),
    registeredAtBlock,
    started: firstEmissionBlock !== null,
    startAllowedAtBlock: startAllowedAtBlock(subnet),
    identity: identity ?? undefined,
  }
}
