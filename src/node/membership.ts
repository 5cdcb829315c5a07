/**
 * Being on the subnet: the hotkey registered, for a validator staked, and the chain record that says where the node is
 * reached. Registering and staking on its own is for devchains only, where keys cost nothing.
 */
import type { Role } from '../../protocols/hello/messages.js'
import type { AbortOptions } from '../base/abort.js'
import { SubnetError } from '../base/errors.js'
import type { Logger } from '../base/log.js'
import type { Chain } from '../chain/chain.js'
import { type Signer, toSs58 } from '../crypto/keys.js'

/** What a devchain validator stakes on first contact: 1,000 TAO. */
export const DEV_VALIDATOR_STAKE_RAO = 1_000_000_000_000n

export interface MembershipInit {
  readonly role: Exclude<Role, 'client'>
  readonly hotkey: Signer
  /** SS58. */
  readonly coldkey: string
}

/** Registers, and stakes for a validator, where that has not happened. Resolves with the uid. */
export async function join(
  components: { readonly chain: Chain; readonly logger: Logger },
  init: MembershipInit,
  options: AbortOptions = {},
): Promise<number> {
  const { chain, logger } = components
  const address = toSs58(init.hotkey.publicKey)
  const known = (await chain.metagraph(options)).neurons.find(({ hotkey }) => hotkey === address)
  const uid =
    known?.uid ?? (await chain.registerHotkey({ hotkey: init.hotkey, coldkey: init.coldkey }, options))
  if (known === undefined) logger.info({ uid, hotkey: address }, 'registered on the devchain')
  if (init.role === 'validator' && (known?.stakeRao ?? 0n) === 0n) {
    await chain.addStake(init.hotkey, DEV_VALIDATOR_STAKE_RAO, options)
    logger.info({ hotkey: address }, 'staked on the devchain')
  }
  return uid
}

/** Says on chain where the node is reached, if the chain does not say so already. */
export async function publishEndpoint(
  chain: Chain,
  hotkey: Signer,
  endpoint: { readonly peerId: string; readonly addresses: readonly string[] },
  options: AbortOptions = {},
): Promise<void> {
  const [full] = endpoint.addresses
  if (full === undefined)
    throw new SubnetError('CONFIG', 'the node listens on no address that could be published')
  const record = { peerId: endpoint.peerId, address: full.replace(/\/p2p\/[^/]+$/, '') }
  const known = (await chain.records(options)).get(toSs58(hotkey.publicKey))
  if (known?.peerId === record.peerId && known.address === record.address) return
  await chain.commit(hotkey, record, options)
}
