/**
 * What an owner does with a subnet: starts it, sets its hyperparameters, says what it is. Only what differs from the
 * chain is called, so an interrupted run goes on where it was.
 */
import type { AbortOptions } from '../base/abort.js'
import type { Chain, Hyperparameters, OwnerParameter, SubnetIdentity, SubnetInfo } from '../chain/chain.js'
import { type Signer, toSs58 } from '../crypto/keys.js'
import { makePlan, type Plan, type PlannedCall, precondition } from './plan.js'
import { otherColdkey } from './register-hotkey.js'

export interface SubnetChanges {
  readonly netuid: number
  /** The owner: SS58. */
  readonly coldkey: string
  readonly start?: boolean
  readonly hyperparameters?: Partial<Pick<Hyperparameters, OwnerParameter>>
  /** Fields that are not given stay as they are, empty on a subnet that has said nothing yet. */
  readonly identity?: Partial<SubnetIdentity>
}

export interface InitializePlan extends Plan {
  readonly changes: SubnetChanges
}

interface Change {
  readonly call: PlannedCall
  readonly apply: (coldkey: Signer) => Promise<void>
}

const NO_IDENTITY: SubnetIdentity = { name: '', repository: '', contact: '', url: '', description: '' }

/** Reads only. Rejects with `CHAIN_REFUSED` naming the precondition, and for a start that is too early the block. */
export async function planInitialize(
  chain: Chain,
  changes: SubnetChanges,
  options: AbortOptions = {},
): Promise<InitializePlan> {
  const { open, done } = await differences(chain, changes, options)
  const calls = open.map(({ call }) => call)
  return { ...(await makePlan(chain, changes.coldkey, { calls, done }, options)), changes }
}

/** Makes the subnet as the plan says, call after call; what has happened meanwhile is not called again. How many were. */
export async function initializeSubnet(
  chain: Chain,
  plan: InitializePlan,
  coldkey: Signer,
  options: AbortOptions = {},
): Promise<number> {
  const owner = toSs58(coldkey.publicKey)
  if (owner !== plan.coldkey) throw otherColdkey(owner, plan)
  const { open } = await differences(chain, plan.changes, options)
  for (const change of open) await change.apply(coldkey)
  return open.length
}

async function differences(
  chain: Chain,
  changes: SubnetChanges,
  options: AbortOptions,
): Promise<{ readonly open: readonly Change[]; readonly done: readonly string[] }> {
  const info = await ownSubnet(chain, changes, options)
  const parts = [
    await startChange(chain, info, changes, options),
    await parameterChanges(chain, changes, options),
    identityChange(chain, info, changes, options),
  ]
  return { open: parts.flatMap(({ open }) => open), done: parts.flatMap(({ done }) => done) }
}

type Changes = { readonly open: readonly Change[]; readonly done: readonly string[] }

async function ownSubnet(chain: Chain, changes: SubnetChanges, options: AbortOptions): Promise<SubnetInfo> {
  const { netuid, coldkey } = changes
  const info = await chain.subnet(netuid, options)
  if (info === undefined) throw precondition('SubnetNotExists', `there is no subnet ${netuid}`)
  if (info.ownerColdkey === coldkey) return info
  const text = `subnet ${netuid} belongs to ${info.ownerColdkey}, not to ${coldkey}: check --netuid and --wallet.name`
  throw precondition('NotSubnetOwner', text)
}

async function startChange(
  chain: Chain,
  info: SubnetInfo,
  { start, netuid }: SubnetChanges,
  options: AbortOptions,
): Promise<Changes> {
  if (start !== true) return { open: [], done: [] }
  if (info.started) return { open: [], done: [`subnet ${netuid} is started`] }
  const { number: block } = await chain.head(options)
  // The call gets into the next block at the earliest.
  if (block + 1 < info.startAllowedAtBlock) {
    const { startAllowedAtBlock } = info
    const text = `subnet ${netuid} may be started from block ${startAllowedAtBlock} on, now is ${block}`
    throw precondition('NeedWaitingMoreBlocksToStarCall', text, startAllowedAtBlock)
  }
  const call = { call: 'start_call', text: `starts subnet ${netuid}: emission begins`, costRao: 0n }
  return {
    open: [{ call, apply: (coldkey) => chain.startSubnet({ coldkey, netuid }, options) }],
    done: [],
  }
}

async function parameterChanges(
  chain: Chain,
  { hyperparameters, netuid }: SubnetChanges,
  options: AbortOptions,
): Promise<Changes> {
  const wanted = Object.entries(hyperparameters ?? {}) as [OwnerParameter, Hyperparameters[OwnerParameter]][]
  if (wanted.length === 0) return { open: [], done: [] }
  const now = await chain.hyperparameters({ ...options, netuid })
  const differing = wanted.filter(([name, value]) => now[name] !== value)
  const open = differing.map(([name, value]) => ({
    call: { call: `sudo_set ${name}`, text: `${name}: ${now[name]} → ${value}`, costRao: 0n },
    apply: (coldkey: Signer) => chain.setHyperparameter({ coldkey, netuid, name, value }, options),
  }))
  const done = wanted.filter((entry) => !differing.includes(entry)).map(([name]) => `${name} is ${now[name]}`)
  return { open, done }
}

function identityChange(
  chain: Chain,
  info: SubnetInfo,
  { identity, netuid }: SubnetChanges,
  options: AbortOptions,
): Changes {
  if (identity === undefined) return { open: [], done: [] }
  const now = info.identity ?? NO_IDENTITY
  const wanted = { ...now, ...identity }
  const fields = (Object.keys(NO_IDENTITY) as (keyof SubnetIdentity)[]).filter(
    (key) => now[key] !== wanted[key],
  )
  if (fields.length === 0) return { open: [], done: ['the identity is as wanted'] }
  const text = fields.map((field) => `${field}: ${JSON.stringify(wanted[field])}`).join(', ')
  const call = { call: 'set_subnet_identity', text, costRao: 0n }
  const apply = (coldkey: Signer) => chain.setSubnetIdentity({ coldkey, netuid, identity: wanted }, options)
  return { open: [{ call, apply }], done: [] }
}
