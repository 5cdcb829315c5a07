/** `subnet-node status`: the subnet as the chain and its nodes show it now. */
import type { Command } from 'commander'
import { askCapacity } from '../../../protocols/capacity/client.js'
import { deadline } from '../../base/abort.js'
import { systemClock } from '../../base/clock.js'
import { isSubnetError } from '../../base/errors.js'
import { formatBytes, formatDuration } from '../../base/units.js'
import type { Member } from '../../chain/subnet-view.js'
import type { SubnetClient } from '../../node/client.js'
import { addClientOptions, type ClientCommandOptions, withClient } from '../client-session.js'
import { Output } from '../output.js'

/** Time for a node to answer. */
const PROBE_TIMEOUT_MS = 5_000

interface MemberStatus {
  readonly uid: number
  readonly role: 'validator' | 'miner'
  readonly hotkey: string
  readonly address: string
  readonly state: 'up' | 'down' | 'unpublished'
  readonly chunks?: number
  /** By the miner's own word; absent for none. */
  readonly lostChunks?: number
  readonly heldBytes?: number
  readonly budgetBytes?: number
}

export function addStatus(program: Command): void {
  const command = program
    .command('status')
    .description('show the subnet: who is registered, who answers, who holds how much')
    .action(status)
  addClientOptions(command)
}

async function status(options: ClientCommandOptions): Promise<void> {
  const output = new Output(options)
  await withClient(options, async (client, signal) => {
    const { chain, view } = client.subnet
    const members = await Promise.all(view.members().map((member) => probe(client, member, signal)))
    const { genesisHash, netuid, blockMs, tempo } = chain.constants
    const headAgeMs = Math.max(0, systemClock.nowMs() - (await chain.head({ signal })).timestampMs)
    const facts = { block: view.block, headAgeMs, netuid, genesisHash, blockMs, tempo, members }
    const head = `subnet ${netuid}  block ${view.block}, ${formatDuration(headAgeMs)} old  epoch every ${tempo} blocks of ${blockMs / 1000} s  genesis ${genesisHash.slice(0, 10)}`
    output.result(facts, [head, '', ...table(members)].join('\n'))
  })
}

async function probe(client: SubnetClient, member: Member, signal: AbortSignal): Promise<MemberStatus> {
  const { uid, hotkey, endpoint, publicKey, validatorPermit } = member
  const base = { uid, hotkey, role: validatorPermit ? ('validator' as const) : ('miner' as const) }
  if (endpoint === undefined) return { ...base, address: '', state: 'unpublished' }
  const address = endpoint.addresses[0] ?? ''
  const components = { sessions: client.subnet.network.sessions, clock: systemClock }
  const peer = { ...endpoint, hotkey: publicKey }
  using scope = deadline(systemClock, PROBE_TIMEOUT_MS, `probing ${hotkey}`, signal)
  try {
    if (validatorPermit) {
      await components.sessions.connect(peer, scope)
      return { ...base, address, state: 'up' }
    }
    const { heldChunks, heldBytes, budgetBytes, lostChunks } = await askCapacity(components, peer, scope)
    const lost = lostChunks === undefined ? {} : { lostChunks }
    return { ...base, address, state: 'up', chunks: heldChunks, heldBytes, budgetBytes, ...lost }
  } catch (error) {
    signal.throwIfAborted()
    if (!isSubnetError(error)) throw error
    return { ...base, address, state: 'down' }
  }
}

function table(members: readonly MemberStatus[]): string[] {
  const rows = members.map((member) => [
    String(member.uid).padStart(4),
    member.role.padEnd(9),
    `${member.hotkey.slice(0, 8)}…`,
    member.state.padEnd(11),
    (member.chunks === undefined ? '' : String(member.chunks)).padStart(7),
    (member.chunks === undefined ? '' : String(member.lostChunks ?? 0)).padStart(5),
    (member.heldBytes === undefined ? '' : formatBytes(member.heldBytes)).padStart(10),
    (member.budgetBytes === undefined ? '' : formatBytes(member.budgetBytes)).padStart(10),
  ])
  const head = [
    ' uid',
    'role     ',
    'hotkey   ',
    'state      ',
    ' chunks',
    ' lost',
    '      held',
    '    budget',
  ]
  return [head, ...rows].map((row) => row.join('  ').trimEnd())
}
