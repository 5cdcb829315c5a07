/** The doctor's looks at who the node is: its keys, and what the chain says of its hotkey. Reads only. */
import { isSubnetError, toSubnetError } from '../base/errors.js'
import { formatTao } from '../base/units.js'
import type { Chain, Hyperparameters, Metagraph, Neuron } from '../chain/chain.js'
import {
  coldkeyUnlocked,
  ENCRYPTED,
  loadColdkeyAddress,
  loadHotkey,
  loadHotkeyAddress,
  type WalletLocation,
} from '../chain/wallet.js'
import { toSs58 } from '../crypto/keys.js'
import { type Finding, failed, ok, skipped } from './finding.js'
import { ownWallet } from './node.js'

export interface MemberInit {
  readonly role: 'miner' | 'validator'
  readonly dataPath: string
  readonly wallet?: WalletLocation
}

/** A node needs the coldkey's address and never its secret. */
export async function checkColdkey({ wallet }: MemberInit): Promise<Finding> {
  const check = 'coldkey'
  if (wallet === undefined) return skipped(check, 'a node with keys of its own has none')
  try {
    const address = await loadColdkeyAddress(wallet)
    if (!(await coldkeyUnlocked(wallet)))
      return ok(check, `${address}; its secret is not open on this machine`)
    const text = `the secret of ${address} lies here without a password: whoever reads this disk can spend it`
    const remedy =
      'move the file "coldkey" to another machine, a node needs coldkeypub.txt only; or encrypt it: "wallet import --key coldkey --overwrite"'
    return failed(check, text, remedy, 'CONFIG')
  } catch (error) {
    const remedy = 'put coldkeypub.txt there: "wallet import --key coldkeypub --address <its address>"'
    return failed(check, toSubnetError(error).message, remedy, 'CONFIG')
  }
}

/** Hotkey, registration, and for a validator stake, permit and the age of its weights. */
export async function checkMember(init: MemberInit, chain: Chain): Promise<Finding[]> {
  let hotkey: string
  try {
    hotkey = await hotkeyOf(init.wallet ?? ownWallet(init.dataPath))
  } catch (error) {
    const { code, message } = toSubnetError(error)
    const rest = skipped('registration', 'there is no hotkey yet')
    const fresh = init.wallet === undefined && code === 'NOT_FOUND'
    if (fresh) return [skipped('hotkey', 'is made when the node first starts'), rest]
    const remedy = 'check --wallet.path, --wallet.name and --wallet.hotkey'
    return [failed('hotkey', message, remedy, 'CONFIG'), rest]
  }
  const found = ok('hotkey', hotkey)
  const metagraph = await chain.metagraph()
  const neuron = metagraph.neurons.find((each) => each.hotkey === hotkey)
  if (neuron === undefined) {
    const remedy =
      chain.faucet === undefined
        ? 'run "subnet-node register", which shows what it costs first'
        : 'start the node: on a devchain it registers itself'
    return [found, failed('registration', `${hotkey} is not registered`, remedy, 'CHAIN_UNAVAILABLE')]
  }
  const registered = [found, ok('registration', `uid ${neuron.uid}`)]
  if (init.role === 'miner') return [...registered, skipped('permit', 'a miner needs none')]
  const rules = await chain.hyperparameters()
  const stake = checkStake(neuron, rules, chain)
  return [...registered, stake, checkPermit(neuron, metagraph, chain), checkWeights(neuron, rules, metagraph)]
}

/** Nobody is asked for a password here: of an encrypted hotkey the address is enough. */
async function hotkeyOf(wallet: WalletLocation): Promise<string> {
  try {
    return toSs58((await loadHotkey(wallet)).publicKey)
  } catch (error) {
    if (!isSubnetError(error, 'CONFIG') || error.data.reason !== ENCRYPTED) throw error
    return await loadHotkeyAddress(wallet)
  }
}

function checkStake({ stakeRao }: Neuron, { stakeThresholdRao }: Hyperparameters, chain: Chain): Finding {
  const text = `${formatTao(stakeRao)}, at least ${formatTao(stakeThresholdRao)} are needed to set weights`
  if (stakeRao > 0n && stakeRao >= stakeThresholdRao) return ok('stake', text)
  const remedy =
    chain.faucet === undefined
      ? 'run "subnet-node stake", which shows the plan first'
      : 'start the node: on a devchain it stakes itself'
  return failed('stake', text, remedy, 'CHAIN_UNAVAILABLE')
}

function checkPermit(neuron: Neuron, { block, nextEpochBlock }: Metagraph, chain: Chain): Finding {
  if (neuron.validatorPermit) return ok('permit', 'may validate')
  const remedy =
    neuron.stakeRao > 0n
      ? `wait: the chain gives permits at block ${nextEpochBlock}, now is ${block}`
      : chain.faucet === undefined
        ? 'it needs stake: run "subnet-node stake"'
        : 'it needs stake: start the node, on a devchain it stakes itself'
  return failed('permit', 'has no validator permit', remedy, 'CHAIN_UNAVAILABLE')
}

/** Registering counts as setting, so a new validator has as long as one that has just set. */
function checkWeights(neuron: Neuron, rules: Hyperparameters, { block }: Metagraph): Finding {
  if (!neuron.validatorPermit) return skipped('weights', 'only those with a permit set them')
  const ageBlocks = block - neuron.lastUpdateBlock
  const { activityCutoffBlocks } = rules
  const text = `set ${ageBlocks} blocks ago; after ${activityCutoffBlocks} a validator counts as inactive`
  if (ageBlocks <= activityCutoffBlocks) return ok('weights', text)
  const remedy = 'see why the validator does not set them, or run "subnet-node weights set"'
  return failed('weights', text, remedy, 'CHAIN_UNAVAILABLE')
}
