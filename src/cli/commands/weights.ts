/** `subnet-node weights set|reveal|show`: by hand what a validator will do by score. Only the hotkey is needed. */
import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { systemClock } from '../../base/clock.js'
import { SubnetError } from '../../base/errors.js'
import { systemRandom } from '../../base/random.js'
import type { Neuron } from '../../chain/chain.js'
import { type RevealOutcome, WeightSetter } from '../../roles/validator/weight-setter.js'
import type { WeightsPlan } from '../../roles/validator/weights-plan.js'
import { addChainOptions, type ChainSession, withChain } from '../chain-session.js'
import type { OutputOptions } from '../options.js'
import { Output } from '../output.js'
import { addWaitOption, waitForBlock, whenAllowed } from '../plan-run.js'
import {
  addPasswordOption,
  namedWallet,
  type PasswordOptions,
  unlock,
  WALLET_SETTINGS,
} from '../wallet-session.js'
import { weightsPath } from '../weights-path.js'

interface RevealOptions extends OutputOptions, PasswordOptions {
  readonly wait: boolean
}

interface SetOptions extends RevealOptions {
  readonly file?: string
  readonly dryRun: boolean
  readonly minVtrust: number
}

const U16_MAX = 65_535
/** Decimals of a share that count. */
const SHARE_DECIMALS = 9
/** How many of the uids that differ most from the consensus are shown. */
const SHOWN_DEVIATIONS = 5

export function addWeights(program: Command): void {
  const group = program.command('weights').description('set, reveal and show the weights of a validator')
  const set = group
    .command('set')
    .description(
      'set weights, plainly or hidden as the subnet wants it; shows how far they are from the consensus',
    )
    .argument('[uid=share...]', 'shares of any scale: 1=2 2=1 gives uid 1 twice as much')
    .option('--file <path>', 'JSON object of shares by uid')
    .option('--dry-run', 'show what would be sent only', false)
    .option('--min-vtrust <share>', 'send nothing when the expected validator trust is below this', share, 0)
    .action(setWeights)
  const reveal = group
    .command('reveal')
    .description('reveal what `weights set` has hidden, in the epoch in which the chain takes it')
    .action(revealWeights)
  for (const command of [set, reveal]) {
    addWaitOption(command)
    addPasswordOption(command)
    addChainOptions(command, [...WALLET_SETTINGS, 'db_root_path'])
  }
  addChainOptions(
    group.command('show').description('show every row of weights and how it fared').action(show),
  )
}

async function setWeights(words: readonly string[], options: SetOptions): Promise<void> {
  const shares = await readShares(words, options.file)
  await withSetter(options, async ({ chain, signal }, setter, output) => {
    const waiting = { chain, output, wait: options.wait, signal }
    // The operator's own numbers are as new as the moment at which they are given.
    const planned = async () =>
      setter.plan({ shares, block: (await chain.head({ signal })).number }, { signal })
    if (options.wait) await untilRevealed(setter, waiting)
    const plan = await whenAllowed(waiting, planned)
    output.note(planLines(plan).join('\n'))
    const expected = plan.comparison?.expectedVtrust
    if (expected !== undefined && expected < options.minVtrust) {
      const text = `the expected validator trust is ${expected.toFixed(4)}, less than --min-vtrust: nothing was sent`
      throw new SubnetError('REFUSED', text, { data: { expectedVtrust: expected } })
    }
    if (!options.dryRun) await setter.send(plan, { signal })
    const outcomes = options.dryRun || plan.method === 'set' ? [] : await openReveals(setter, waiting)
    const { uid, block, method, weights, comparison } = plan
    const text = options.dryRun ? 'nothing was sent' : method === 'set' ? 'set' : textOf(outcomes)
    output.result({ uid, block, method, sent: !options.dryRun, weights, comparison, outcomes }, text)
  })
}

async function revealWeights(options: RevealOptions): Promise<void> {
  await withSetter(options, async ({ chain, signal }, setter, output) => {
    const outcomes = await openReveals(setter, { chain, output, wait: options.wait, signal })
    output.result({ outcomes }, outcomes.length === 0 ? 'nothing is hidden' : textOf(outcomes))
    const lost = outcomes.find(({ state }) => state === 'lost')
    if (lost !== undefined) {
      const data = { kind: 'dispatch', reason: lost.reason ?? '' }
      throw new SubnetError('CHAIN_REFUSED', `a commit can never be revealed: ${lost.reason}`, { data })
    }
  })
}

type Waiting = Parameters<typeof waitForBlock>[0]

async function openReveals(setter: WeightSetter, waiting: Waiting): Promise<RevealOutcome[]> {
  return waiting.wait ? await untilRevealed(setter, waiting) : await setter.reveal(waiting)
}

/** Until nothing is hidden any more; what became of each. */
async function untilRevealed(setter: WeightSetter, waiting: Waiting): Promise<RevealOutcome[]> {
  const settled: RevealOutcome[] = []
  for (;;) {
    const outcomes = await setter.reveal(waiting)
    settled.push(...outcomes.filter(({ state }) => state !== 'waiting'))
    const open = outcomes.filter(({ state }) => state === 'waiting')
    if (open.length === 0) return settled
    await waitForBlock(waiting, Math.min(...open.map(({ fromBlock }) => fromBlock ?? 0)))
  }
}

async function withSetter(
  options: RevealOptions,
  work: (session: ChainSession, setter: WeightSetter, output: Output) => Promise<void>,
): Promise<void> {
  await withChain(options, async (session) => {
    const { chain, config } = session
    const output = new Output(options)
    const hotkey = await unlock(namedWallet(config), 'hotkey', options, output)
    const components = { chain, clock: systemClock, random: systemRandom }
    const setter = new WeightSetter(components, { hotkey, path: weightsPath(config) })
    await work(session, setter, output)
  })
}

async function readShares(words: readonly string[], file: string | undefined): Promise<Map<number, bigint>> {
  const entries = words.map((word) => /^(\d+)=(.+)$/.exec(word)?.slice(1) ?? [word, ''])
  if (file !== undefined) entries.push(...(await sharesInFile(file)))
  if (entries.length === 0) throw new SubnetError('CONFIG', 'say the shares as uid=share, or give --file')
  const shares = new Map<number, bigint>()
  for (const [uid = '', text = ''] of entries) {
    const [, whole, fraction = ''] = /^(\d+)(?:\.(\d+))?$/.exec(text) ?? []
    if (!/^\d{1,5}$/.test(uid) || whole === undefined || fraction.length > SHARE_DECIMALS) {
      throw new SubnetError(
        'CONFIG',
        `"${uid}${text === '' ? '' : `=${text}`}" is no share: write it like 5=0.25`,
      )
    }
    if (shares.has(Number(uid))) throw new SubnetError('CONFIG', `uid ${uid} is given twice`)
    shares.set(Number(uid), BigInt(whole + fraction.padEnd(SHARE_DECIMALS, '0')))
  }
  return shares
}

async function sharesInFile(path: string): Promise<string[][]> {
  try {
    const shares: unknown = JSON.parse(await readFile(path, 'utf8'))
    if (shares === null || typeof shares !== 'object' || Array.isArray(shares)) throw new Error('no object')
    return Object.entries(shares).map(([uid, value]) => [uid, String(value)])
  } catch (cause) {
    throw new SubnetError('CONFIG', `${path} is no JSON object of shares by uid`, { cause })
  }
}

function share(text: string): number {
  const value = Number(text)
  if (text.trim() !== '' && value >= 0 && value <= 1) return value
  throw new SubnetError('CONFIG', `"${text}" is no share from 0 to 1`)
}

function planLines({ weights, method, comparison, uid, block }: WeightsPlan): string[] {
  const row = weights.uids.map((to, i) => `${to}=${weights.values[i]}`).join(' ')
  const head = `uid ${uid} at block ${block}, version key ${weights.versionKey}, ${method === 'set' ? 'plainly' : 'hidden until its reveal'}: ${row}`
  if (comparison === undefined)
    return [head, '  nobody has set weights yet: there is no consensus to compare with']
  const { expectedVtrust, deviations } = comparison
  const parts = deviations
    .slice(0, SHOWN_DEVIATIONS)
    .map((each) => `  uid ${each.uid}: own ${percent(each.own)}, consensus ${percent(each.consensus)}`)
  return [
    head,
    `  expected validator trust ${expectedVtrust.toFixed(4)}; furthest from the consensus:`,
    ...parts,
  ]
}

function percent(part: number): string {
  return `${(part * 100).toFixed(2)} %`
}

function textOf(outcomes: readonly RevealOutcome[]): string {
  return outcomes
    .map(({ state, fromBlock, reason }) => {
      if (state === 'revealed') return 'revealed'
      if (state === 'lost') return `lost: ${reason}`
      const when = fromBlock === undefined ? 'once its commit is in a block' : `from block ${fromBlock} on`
      return `hidden; to be revealed ${when}: run "subnet-node weights reveal --wait"`
    })
    .join('\n')
}

async function show(options: OutputOptions): Promise<void> {
  await withChain(options, async ({ chain, signal }) => {
    const { neurons, block, epoch, nextEpochBlock } = await chain.metagraph({ signal })
    const rows = await chain.weights({ signal })
    const facts = neurons.map((neuron) => ({ ...neuron, weights: rows.get(neuron.uid) ?? [] }))
    const head = `block ${block}, epoch ${epoch}, next at block ${nextEpochBlock}`
    const text = [head, ...facts.map((neuron) => rowOf(neuron, neuron.weights, block))].join('\n')
    new Output(options).result({ block, epoch, nextEpochBlock, neurons: facts }, text)
  })
}

function rowOf(neuron: Neuron, weights: ReadonlyArray<readonly [number, number]>, block: number): string {
  const { uid, validatorPermit, lastUpdateBlock, consensus, incentive, dividends, validatorTrust } = neuron
  const scores = [consensus, incentive, dividends, validatorTrust].map((value) =>
    (value / U16_MAX).toFixed(4),
  )
  const age = weights.length === 0 ? '' : `  set ${block - lastUpdateBlock} blocks ago:`
  const row = weights.map(([to, value]) => ` ${to}=${value}`).join('')
  const [c, i, d, v] = scores
  return `${String(uid).padStart(4)}  ${validatorPermit ? 'permit' : '      '}  consensus ${c}  incentive ${i}  dividends ${d}  vtrust ${v}  earned ${neuron.emissionRao} rao${age}${row}`
}
