/** `subnet-node subnet create|start|set|show|list`: a subnet of one's own, and what subnets there are. */
import type { Command } from 'commander'
import { SubnetError } from '../../base/errors.js'
import { formatTao, parseTao } from '../../base/units.js'
import type { Hyperparameters, OwnerParameter, SubnetIdentity, SubnetInfo } from '../../chain/chain.js'
import { loadHotkeyAddress } from '../../chain/wallet.js'
import { nearest } from '../../config/nearest.js'
import { initializeSubnet, planInitialize, type SubnetChanges } from '../../registration/initialize-subnet.js'
import { planSubnet, registerSubnet } from '../../registration/register-subnet.js'
import { addChainOptions, type ChainSession, withChain } from '../chain-session.js'
import { asWord, type OutputOptions } from '../options.js'
import { Output } from '../output.js'
import { addSpendOptions, runPlan, type SpendOptions } from '../plan-run.js'
import { namedWallet, WALLET_SETTINGS } from '../wallet-session.js'
import { intentsOf } from './register.js'

interface CreateOptions extends SpendOptions {
  readonly maxCost?: bigint
}

type SetOptions = SpendOptions & Partial<SubnetIdentity>

const IDENTITY_FIELDS = ['name', 'repository', 'contact', 'url', 'description'] as const
/** What the chain itself says and no owner sets. */
const NOT_OWNERS: ReadonlySet<string> = new Set(['burnRao', 'tempo', 'stakeThresholdRao', 'maxAllowedUids'])

export function addSubnet(program: Command): void {
  const group = program.command('subnet').description('own a subnet, or look at those there are')
  const create = group
    .command('create')
    .description('register a new subnet, owned by the wallet; shows what it costs first')
    .option('--max-cost <tao>', 'the most it may cost (default: what the plan shows)', asWord(parseTao))
    .action(createSubnet)
  const start = group
    .command('start')
    .description('start the emission of a subnet that the wallet owns')
    .action((options: SpendOptions) => change(options, () => ({ start: true })))
  const set = group
    .command('set')
    .description('set hyperparameters and the identity of a subnet that the wallet owns')
    .argument('[name=value...]', 'hyperparameters, as `subnet show` names them')
    .action(setSubnet)
  for (const field of IDENTITY_FIELDS) set.option(`--${field} <text>`, `identity: ${field}`)
  for (const command of [create, start, set]) {
    addSpendOptions(command)
    addChainOptions(command, [...WALLET_SETTINGS, 'db_root_path'])
  }
  addChainOptions(group.command('show').description('show a subnet and its hyperparameters').action(show))
  addChainOptions(group.command('list').description('list every subnet').action(list))
}

async function createSubnet(options: CreateOptions): Promise<void> {
  await onAnySubnet(options, async (session) => {
    const { chain, config } = session
    const hotkey = await loadHotkeyAddress(namedWallet(config))
    const components = { chain, intents: intentsOf(session) }
    const limit = options.maxCost === undefined ? {} : { maxCostRao: options.maxCost }
    await runPlan(session, options, {
      plan: (coldkey, signal) => planSubnet(chain, { hotkey, coldkey, ...limit }, signal),
      apply: async (plan, coldkey, signal) => ({
        netuid: await registerSubnet(components, plan, coldkey, signal),
      }),
      settled: ({ netuid }) => (netuid === undefined ? {} : { netuid }),
    })
  })
}

async function setSubnet(assignments: readonly string[], options: SetOptions): Promise<void> {
  const given = IDENTITY_FIELDS.flatMap((field) => {
    const text = options[field]
    return text === undefined ? [] : [[field, text] as const]
  })
  if (assignments.length === 0 && given.length === 0) {
    throw new SubnetError('CONFIG', 'say what to set: name=value, or a part of the identity such as --name')
  }
  const identity = given.length === 0 ? {} : { identity: Object.fromEntries(given) }
  await change(options, (now) => ({ hyperparameters: assigned(assignments, now), ...identity }))
}

/** Start, hyperparameters and identity are changes of one kind: only what differs is called. */
async function change(
  options: SpendOptions,
  wanted: (now: Hyperparameters) => Omit<SubnetChanges, 'netuid' | 'coldkey'>,
): Promise<void> {
  await onAnySubnet(options, async (session) => {
    const { chain, config, signal } = session
    const netuid = config.get('netuid')
    const changes = wanted(await chain.hyperparameters({ netuid, signal }))
    await runPlan(session, options, {
      plan: (coldkey, scope) => planInitialize(chain, { netuid, coldkey, ...changes }, scope),
      apply: async (plan, coldkey, scope) => ({
        netuid,
        calls: await initializeSubnet(chain, plan, coldkey, scope),
      }),
      settled: () => ({ netuid }),
    })
  })
}

/** `name=value` by the type that the parameter has now; a name may also be written as Bittensor does, with underscores. */
function assigned(
  assignments: readonly string[],
  now: Hyperparameters,
): NonNullable<SubnetChanges['hyperparameters']> {
  const names = Object.keys(now).filter((name): name is OwnerParameter => !NOT_OWNERS.has(name))
  return Object.fromEntries(
    assignments.map((text) => {
      const [, written = '', value = ''] = /^([^=]+)=(.*)$/.exec(text) ?? []
      const camel = written.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
      const name = names.find((each) => each === camel)
      if (name === undefined) {
        const guess = nearest(camel, names)
        const hint = guess === undefined ? '' : `; did you mean ${guess}?`
        throw new SubnetError('CONFIG', `"${text}" sets no hyperparameter of an owner${hint}`)
      }
      return [name, valueLike(now[name], value, text)]
    }),
  )
}

function valueLike(now: boolean | number | bigint, value: string, text: string): boolean | number | bigint {
  if (typeof now === 'boolean' && /^(true|false)$/.test(value)) return value === 'true'
  if (typeof now === 'number' && /^\d+$/.test(value)) return Number(value)
  if (typeof now === 'bigint' && /^\d+$/.test(value)) return BigInt(value)
  const kind = typeof now === 'boolean' ? 'true or false' : 'a whole number'
  throw new SubnetError('CONFIG', `"${text}": the value is ${kind}`)
}

async function show(options: OutputOptions): Promise<void> {
  await onAnySubnet(options, async ({ chain, config, signal }) => {
    const netuid = config.get('netuid')
    const info = await chain.subnet(netuid, { signal })
    if (info === undefined) throw new SubnetError('NOT_FOUND', `there is no subnet ${netuid}`)
    const hyperparameters = await chain.hyperparameters({ netuid, signal })
    const width = Math.max(...Object.keys(hyperparameters).map((name) => name.length))
    const rows = Object.entries(hyperparameters).map(
      ([name, value]) => `  ${name.padEnd(width)}  ${name.endsWith('Rao') ? formatTao(value) : value}`,
    )
    const owner = [`  owner ${info.ownerColdkey}, hotkey ${info.ownerHotkey}`, `  ${stateOf(info)}`]
    const about = Object.entries(info.identity ?? {}).map(([field, text]) => `  ${field}: ${text}`)
    const text = [`subnet ${netuid}`, ...owner, ...about, ...rows].join('\n')
    new Output(options).result({ ...info, hyperparameters }, text)
  })
}

async function list(options: OutputOptions): Promise<void> {
  await onAnySubnet(options, async ({ chain, signal }) => {
    const infos: SubnetInfo[] = []
    for (const netuid of await chain.subnets({ signal })) {
      const info = await chain.subnet(netuid, { signal })
      if (info !== undefined) infos.push(info)
    }
    const costRao = await chain.subnetCostRao({ signal })
    const rows = infos.map(
      (info) =>
        `${String(info.netuid).padStart(4)}  ${info.identity?.name ?? '(no name)'}  ${info.ownerColdkey}  ${stateOf(info)}`,
    )
    const text = [...rows, `another costs ${formatTao(costRao)} now`].join('\n')
    new Output(options).result({ subnets: infos, costRao }, text)
  })
}

function stateOf({ started, startAllowedAtBlock }: SubnetInfo): string {
  return started ? 'started' : `not started, may be from block ${startAllowedAtBlock} on`
}

/** The netuid is an argument here, not what the connection is for. */
async function onAnySubnet(options: object, work: (session: ChainSession) => Promise<void>): Promise<void> {
  await withChain(options, work, { anySubnet: true })
}
