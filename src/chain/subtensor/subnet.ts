/** What the chain says of a subnet as such, and of what making one costs. */
import * as z from 'zod'
import type { AbortOptions } from '../../base/abort.js'
import type { SubnetIdentity, SubnetInfo } from '../chain.js'
import { address, amount, count, text } from './json.js'
import type { RuntimeCall } from './runtime.js'
import { read, type StateAt, type StorageQuery } from './state-reader.js'

const identitySchema = z.object({
  subnetName: text,
  githubRepo: text,
  subnetContact: text,
  subnetUrl: text.default(''),
  description: text.default(''),
  discord: text.default(''),
  logoUrl: text.default(''),
  additional: text.default(''),
})
/** Newest first; each runtime has one, and the older ones know less. */
const IDENTITY_ITEMS = ['SubnetIdentitiesV3', 'SubnetIdentitiesV2', 'SubnetIdentities'] as const

const subnetSchema = z.object({
  added: z.boolean(),
  owner: address,
  ownerHotkey: address,
  registeredAt: count,
  firstEmission: count.nullish(),
  identity: identitySchema.nullish(),
})

export async function readSubnet(
  state: StateAt,
  netuid: number,
  options: AbortOptions,
): Promise<SubnetInfo | undefined> {
  const [added, owner, ownerHotkey, registeredAt, firstEmission, identity, startDelay] = await state.values(
    [
      ['SubtensorModule', 'NetworksAdded', netuid],
      ['SubtensorModule', 'SubnetOwner', netuid],
      ['SubtensorModule', 'SubnetOwnerHotkey', netuid],
      ['SubtensorModule', 'NetworkRegisteredAt', netuid],
      ['SubtensorModule', 'FirstEmissionBlockNumber', netuid],
      identityQuery(state, netuid),
      ['SubtensorModule', 'StartCallDelay'],
    ],
    options,
  )
  // Runtimes of 2025 have it as a constant.
  const fixedDelay = state.runtime.constant('SubtensorModule', 'DurationOfStartCall')
  const values = { added, owner, ownerHotkey, registeredAt, firstEmission, identity }
  const subnet = read(subnetSchema, values, 'subnet')
  if (!subnet.added) return undefined
  return {
    netuid,
    ownerColdkey: subnet.owner,
    ownerHotkey: subnet.ownerHotkey,
    registeredAtBlock: subnet.registeredAt,
    started: subnet.firstEmission != null,
    startAllowedAtBlock: subnet.registeredAt + read(count, startDelay ?? fixedDelay ?? 0, 'start delay'),
    identity: subnet.identity == null ? undefined : identityOf(subnet.identity),
  }
}

/** The netuids there are, ascending. */
export async function readSubnets(state: StateAt, options: AbortOptions): Promise<readonly number[]> {
  const entries = await state.entries(['SubtensorModule', 'NetworksAdded'], options)
  return entries
    .filter(({ value }) => value === true)
    .map(({ keys }) => read(count, keys[0], 'SubtensorModule.NetworksAdded'))
    .sort((a, b) => a - b)
}

export async function readSubnetCost(state: StateAt, options: AbortOptions): Promise<bigint> {
  const answer = await state.api('SubnetRegistrationRuntimeApi', 'get_network_registration_cost', [], options)
  return read(amount, answer, 'SubnetRegistrationRuntimeApi.get_network_registration_cost')
}

export async function readBalance(state: StateAt, coldkey: string, options: AbortOptions): Promise<bigint> {
  const account = z.object({ data: z.object({ free: amount }) })
  return (await state.value(['System', 'Account', coldkey], account, options)).data.free
}

const weightRow = z.array(z.tuple([count, count]))

/** By uid of the validator. */
export async function readWeights(
  state: StateAt,
  netuid: number,
  options: AbortOptions,
): Promise<Map<number, ReadonlyArray<readonly [number, number]>>> {
  const entries = await state.entries(['SubtensorModule', 'Weights', netuid], options)
  const rows = entries.map(
    ({ keys, value }) =>
      [
        read(count, keys[1], 'SubtensorModule.Weights'),
        read(weightRow, value, 'SubtensorModule.Weights'),
      ] as const,
  )
  return new Map(rows.filter(([, row]) => row.length > 0).sort(([a], [b]) => a - b))
}

/** Every write replaces all of it: what this program does not speak of stays as `state` has it. */
export async function identityCall(
  state: StateAt,
  netuid: number,
  identity: SubnetIdentity,
  options: AbortOptions,
): Promise<RuntimeCall> {
  const before = await state.value(identityQuery(state, netuid), identitySchema.nullish(), options)
  const [pallet, name] = ['SubtensorModule', 'set_subnet_identity']
  const args: Readonly<Record<string, unknown>> = {
    netuid,
    subnet_name: utf8(identity.name),
    github_repo: utf8(identity.repository),
    subnet_contact: utf8(identity.contact),
    subnet_url: utf8(identity.url),
    discord: utf8(before?.discord ?? ''),
    description: utf8(identity.description),
    logo_url: utf8(before?.logoUrl ?? ''),
    additional: utf8(before?.additional ?? ''),
  }
  // The list has grown with the runtimes: older ones take a part of it.
  const fields = state.runtime.callFields(pallet, name)
  const taken = Object.entries(args).filter(([field]) => fields?.includes(field) ?? true)
  return { pallet, name, args: Object.fromEntries(taken) }
}

function identityQuery(state: StateAt, netuid: number): StorageQuery {
  const item = IDENTITY_ITEMS.find((name) => state.runtime.storage('SubtensorModule', name) !== undefined)
  return ['SubtensorModule', item ?? IDENTITY_ITEMS[0], netuid]
}

function identityOf(identity: z.infer<typeof identitySchema>): SubnetIdentity {
  const { subnetName, githubRepo, subnetContact, subnetUrl, description } = identity
  return {
    name: subnetName,
    repository: githubRepo,
    contact: subnetContact,
    url: subnetUrl,
    description,
  }
}

/** As hex: @polkadot/types would read text that begins with 0x as bytes. */
function utf8(value: string): string {
  return `0x${Buffer.from(value, 'utf8').toString('hex')}`
}
