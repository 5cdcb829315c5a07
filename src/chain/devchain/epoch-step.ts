/**
 * What a subnet of a devchain does by itself: the burn decays with every block, and an epoch step hands out permits and the
 * epoch's emission, by Yuma. 18 % go to the owner, the rest in halves to miners and validators, into their stakes; of a
 * validator's half, 18 % are its owner's before those who staked for it share the rest (`coinbase/run_coinbase.rs`).
 */
import { type YumaEpoch, type YumaNeuron, yumaEpoch } from '../../incentive/yuma.js'
import { decayedBurn } from './registration.js'
import { ownerUidOf, StakeBook, type Subnet, stakeOf } from './subnet.js'
import { isExpired } from './weights.js'

/** A subnet's alpha per block at first, and in all; it halves as on the main chain (`get_block_emission_for_issuance`). */
const BLOCK_EMISSION_RAO = 1_000_000_000n
const ALPHA_SUPPLY_RAO = 21_000_000n * 1_000_000_000n
/** 11,796 of 65,535 are 18 %: the owner's cut, and a validator's take (`SubnetOwnerCut`, `DefaultTake`). */
const EIGHTEEN_PERCENT = 11_796n
const U16_MAX = 65_535n

/** Before a block's operations. The same value where nothing changes. */
export function stepSubnet(subnet: Subnet, block: number): Subnet {
  const burnRao = decayedBurn(subnet)
  const decayed = burnRao === subnet.burnRao ? subnet : { ...subnet, burnRao }
  return block - subnet.lastEpochBlock >= subnet.parameters.tempo ? stepEpoch(decayed, block) : decayed
}

function stepEpoch(subnet: Subnet, block: number): Subnet {
  const emission = pendingEmission(subnet, block)
  const epoch = subnet.epoch + 1
  const yuma = yumaOf({ ...subnet, epoch }, block)
  const { minersRao, validatorsRao } = yuma.emission(emission.minersRao + emission.validatorsRao)
  const neurons = subnet.neurons.map((neuron, uid) => ({
    ...neuron,
    ...yuma.outcomes[uid],
    emissionRao: (minersRao[uid] ?? 0n) + (validatorsRao[uid] ?? 0n),
    commits: neuron.commits.filter((commit) => !isExpired({ ...subnet, epoch }, commit)),
  }))
  const stepped = { ...subnet, epoch, neurons, lastEpochBlock: block, lastStepBlock: block }
  return { ...stepped, ...distributed(subnet, emission, { minersRao, validatorsRao }) }
}

interface Emission {
  readonly ownerRao: bigint
  readonly minersRao: bigint
  readonly validatorsRao: bigint
}

/** Of all blocks since the last epoch in which the subnet was started. */
function pendingEmission(
  { firstEmissionBlock, lastEpochBlock, emittedRao }: Subnet,
  block: number,
): Emission {
  const from = Math.max(lastEpochBlock + 1, firstEmissionBlock ?? Number.POSITIVE_INFINITY)
  const blocks = BigInt(Math.max(0, Number.isFinite(from) ? block - from + 1 : 0))
  let perBlock = emittedRao >= ALPHA_SUPPLY_RAO ? 0n : BLOCK_EMISSION_RAO
  // Once for every half of what is left that has been emitted.
  for (let left = ALPHA_SUPPLY_RAO / 2n; perBlock > 0n && ALPHA_SUPPLY_RAO - emittedRao <= left; left /= 2n)
    perBlock /= 2n
  const owner = (perBlock * EIGHTEEN_PERCENT) / U16_MAX
  const half = (perBlock - owner) / 2n
  return { ownerRao: owner * blocks, minersRao: half * blocks, validatorsRao: half * blocks }
}

function yumaOf(subnet: Subnet, block: number): YumaEpoch {
  const { parameters, lastStepBlock } = subnet
  const ownerUid = ownerUidOf(subnet)
  const neurons = subnet.neurons.map((neuron): YumaNeuron => {
    const { hotkey, validatorPermit, lastUpdateBlock, registeredAtBlock, weights, bonds, commits } = neuron
    const oldest = commits.find((commit) => !isExpired(subnet, commit))
    const counted = parameters.commitRevealEnabled && oldest !== undefined
    return {
      stakeRao: stakeOf(subnet, hotkey),
      ...{ validatorPermit, lastUpdateBlock, registeredAtBlock, weights, bonds },
      ...(counted ? { oldestCommitBlock: oldest.block } : {}),
    }
  })
  return yumaEpoch({
    block,
    bondsSinceBlock: lastStepBlock === null ? Math.max(0, block - parameters.tempo) : lastStepBlock + 1,
    neurons,
    parameters,
    ...(ownerUid === undefined ? {} : { ownerUid }),
  })
}

interface EarnedByUid {
  readonly minersRao: readonly bigint[]
  readonly validatorsRao: readonly bigint[]
}

/** The stakes afterwards, and all the alpha that was made and not burned. */
function distributed(
  subnet: Subnet,
  emission: Emission,
  earned: EarnedByUid,
): Pick<Subnet, 'stakes' | 'emittedRao'> {
  const { owner, neurons } = subnet
  const book = new StakeBook(subnet.stakes)
  let { emittedRao } = subnet
  if (owner !== null) {
    book.add(owner.hotkey, owner.coldkey, emission.ownerRao)
    emittedRao += emission.ownerRao
  }
  const validatorsShares = sum(earned.validatorsRao)
  // Where no miner earns, validators get it all.
  const validatorsRao = emission.validatorsRao + (sum(earned.minersRao) === 0n ? emission.minersRao : 0n)
  neurons.forEach(({ hotkey, coldkey }, uid) => {
    const mined = earned.minersRao[uid] ?? 0n
    // What the owner would mine is burned.
    if (hotkey !== owner?.hotkey) {
      book.add(hotkey, coldkey, mined)
      emittedRao += mined
    }
    const share = earned.validatorsRao[uid] ?? 0n
    if (share === 0n) return
    const validated = (validatorsRao * share) / validatorsShares
    const take = (validated * EIGHTEEN_PERCENT) / U16_MAX
    book.addByShare(hotkey, coldkey, validated - take)
    book.add(hotkey, coldkey, take)
    emittedRao += validated
  })
  return { stakes: book.stakes, emittedRao }
}

function sum(values: readonly bigint[]): bigint {
  return values.reduce((total, each) => total + each, 0n)
}
