/**
 * What spends, in one way for every command: show the plan, ask, unlock, do it, show what is left. Without `--yes` and
 * without a terminal nothing is spent; with `--wait` what is too early is waited for.
 */
import type { Command } from 'commander'
import type { AbortOptions } from '../base/abort.js'
import { isSubnetError, SubnetError, toSubnetError } from '../base/errors.js'
import { formatDuration, formatTao } from '../base/units.js'
import type { Chain } from '../chain/chain.js'
import { loadColdkeyAddress } from '../chain/wallet.js'
import type { Signer } from '../crypto/keys.js'
import { type Plan, planCostRao } from '../registration/plan.js'
import type { ChainSession } from './chain-session.js'
import { LiveLine } from './live-line.js'
import type { OutputOptions } from './options.js'
import { Output } from './output.js'
import { Prompt } from './prompt.js'
import { addPasswordOption, namedWallet, type PasswordOptions, unlock } from './wallet-session.js'

export interface SpendOptions extends OutputOptions, PasswordOptions {
  readonly yes: boolean
  readonly wait: boolean
  readonly dryRun: boolean
}

export function addSpendOptions(command: Command): void {
  command.option('-y, --yes', 'do it without asking', false).option('--dry-run', 'show the plan only', false)
  addWaitOption(command)
  addPasswordOption(command)
}

export function addWaitOption(command: Command): void {
  command.option('--wait', 'when it is too early, wait for the block from which it may be done', false)
}

/** What a command plans and does. */
export interface Spending<P extends Plan> {
  readonly plan: (coldkey: string, options: AbortOptions) => Promise<P>
  /** Fields of the result, such as the uid. */
  readonly apply: (
    plan: P,
    coldkey: Signer,
    options: AbortOptions,
  ) => Promise<Readonly<Record<string, unknown>>>
  /** The same fields of a plan without calls. */
  readonly settled: (plan: P) => Readonly<Record<string, unknown>>
}

export async function runPlan<P extends Plan>(
  session: ChainSession,
  options: SpendOptions,
  spending: Spending<P>,
): Promise<void> {
  const { chain, signal } = session
  const output = new Output(options)
  const location = namedWallet(session.config)
  const owner = await loadColdkeyAddress(location)
  const waiting = { chain, output, wait: options.wait, signal }
  const plan = await whenAllowed(waiting, () => spending.plan(owner, { signal }))
  const shown = {
    plan: jsonOf(plan),
    netuid: chain.constants.netuid,
    genesisHash: chain.constants.genesisHash,
  }
  if (options.dryRun || plan.calls.length === 0) {
    const lines = [...planLines(plan), ...(plan.calls.length === 0 ? ['nothing is left to do'] : [])]
    output.result({ ...shown, done: plan.calls.length === 0, ...spending.settled(plan) }, lines.join('\n'))
    return
  }
  output.note(planLines(plan).join('\n'))
  await consent(options)
  const coldkey = await unlock(location, 'coldkey', options, output)
  const result = await whenAllowed(waiting, () => apply(spending, plan, coldkey, signal))
  const balanceRao = await chain.balanceRao(owner, { signal })
  const facts = Object.entries(result).map(([name, value]) => `${name} ${String(value)}`)
  const text = [...facts, `balance ${formatTao(plan.balanceRao)} → ${formatTao(balanceRao)}`].join('\n')
  output.result({ ...shown, done: true, ...result, balanceRao }, text)
}

/** After a lost connection nobody knows what arrived; the next run finds out. */
async function apply<P extends Plan>(
  spending: Spending<P>,
  plan: P,
  coldkey: Signer,
  signal: AbortSignal,
): Promise<Readonly<Record<string, unknown>>> {
  try {
    return await spending.apply(plan, coldkey, { signal })
  } catch (error) {
    if (!isSubnetError(error, 'CHAIN_UNAVAILABLE') && !isSubnetError(error, 'TIMEOUT')) throw error
    const { code, message, data } = toSubnetError(error)
    const text = `${message}; whether it arrived is not known: run the same command again, it looks before it spends`
    throw new SubnetError(code, text, { cause: error, data })
  }
}

async function consent({ yes }: SpendOptions): Promise<void> {
  if (yes) return
  const prompt = new Prompt()
  if (!prompt.interactive) {
    const text =
      'this spends, and there is no terminal to ask at: add --yes, or --dry-run to see the plan only'
    throw new SubnetError('CONFIG', text)
  }
  if (!(await prompt.confirm('Do that?'))) throw new SubnetError('STOPPED', 'nothing was spent')
}

export interface Waiting {
  readonly chain: Chain
  readonly output: Output
  /** Without it, what is too early fails and names the block. */
  readonly wait: boolean
  readonly signal: AbortSignal
}

/** Does the work; where it is refused as too early, again from the block that the refusal names. */
export async function whenAllowed<T>(waiting: Waiting, work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work()
    } catch (error) {
      const block = isSubnetError(error, 'CHAIN_REFUSED') ? error.data.block : undefined
      if (typeof block !== 'number' || !(error instanceof SubnetError)) throw error
      if (!waiting.wait) {
        const text = `${error.message} (--wait waits for block ${block})`
        throw new SubnetError(error.code, text, { cause: error.cause, data: error.data })
      }
      waiting.output.note(error.message)
      await waitForBlock(waiting, block)
    }
  }
}

/** Until a call would get into `block`: resolves at the head before it, and at least one block from now. */
export async function waitForBlock({ chain, output, signal }: Waiting, block: number): Promise<void> {
  const line = new LiveLine(process.stderr)
  let number = (await chain.head({ signal })).number
  const target = Math.max(block - 1, number + 1)
  const left = () => formatDuration((target - number) * chain.constants.blockMs)
  output.note(`waiting for block ${target}, now is ${number}: about ${left()}`)
  await new Promise<void>((resolve, reject) => {
    const end = (settle: () => void) => {
      unregister()
      signal.removeEventListener('abort', onAbort)
      line.clear()
      settle()
    }
    const onAbort = () => end(() => reject(signal.reason))
    const unregister = chain.onHead((head) => {
      number = head.number
      if (number >= target) end(resolve)
      else if (!output.json) line.draw(`block ${number} of ${target}, ${left()} left`)
    })
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
  })
}

function planLines(plan: Plan): string[] {
  const width = Math.max(0, ...plan.calls.map(({ call }) => call.length))
  const costRao = planCostRao(plan)
  return [
    `at block ${plan.block}, paid by ${plan.coldkey}`,
    ...plan.done.map((text) => `  done  ${text}`),
    ...plan.calls.map(
      (each) => `  call  ${each.call.padEnd(width)}  ${formatTao(each.costRao).padStart(12)}  ${each.text}`,
    ),
    `  balance ${formatTao(plan.balanceRao)}, afterwards ${formatTao(plan.balanceRao - costRao)}, less the chain's fees`,
  ]
}

function jsonOf(plan: Plan): Readonly<Record<string, unknown>> {
  const { block, coldkey, balanceRao, calls, done } = plan
  return { block, coldkey, balanceRao, costRao: planCostRao(plan), calls, done }
}
