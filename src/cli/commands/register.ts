/** `subnet-node register` and `stake`: a hotkey gets on the subnet, and weight behind it. The coldkey pays. */
import { join } from 'node:path'
import type { Command } from 'commander'
import { systemRandom } from '../../base/random.js'
import { formatTao, parseTao } from '../../base/units.js'
import { loadHotkeyAddress } from '../../chain/wallet.js'
import { Intents } from '../../registration/intents.js'
import { type HotkeyRequest, planHotkey, registerHotkey } from '../../registration/register-hotkey.js'
import { addStake, planStake } from '../../registration/stake.js'
import { addChainOptions, type ChainSession, withChain } from '../chain-session.js'
import { asWord } from '../options.js'
import { addSpendOptions, runPlan, type SpendOptions } from '../plan-run.js'
import { namedWallet, WALLET_SETTINGS } from '../wallet-session.js'

interface RegisterOptions extends SpendOptions {
  readonly maxBurn?: bigint
}

interface StakeOptions extends SpendOptions {
  readonly again: boolean
}

export function addRegister(program: Command): void {
  const command = program
    .command('register')
    .description('register the hotkey on the subnet; shows what it costs first')
    .option('--max-burn <tao>', 'the most it may cost (default: what the plan shows)', asWord(parseTao))
    .action(register)
  addSpendOptions(command)
  addChainOptions(command, WALLET_SETTINGS)
}

export function addStakeCommand(program: Command): void {
  const command = program
    .command('stake')
    .description('stake to the hotkey: what gives a validator its permit and its weight')
    .argument('<tao>', 'how much, from the coldkey', asWord(parseTao))
    .option('--again', 'an earlier stake got no answer, and you have seen that it did not arrive', false)
    .action(stake)
  addSpendOptions(command)
  addChainOptions(command, [...WALLET_SETTINGS, 'db_root_path'])
}

/** Where it is remembered what may have been spent. */
export function intentsOf({ chain, config }: ChainSession): Intents {
  return new Intents({ chain, random: systemRandom }, join(config.get('db_root_path'), 'registration'))
}

async function register(options: RegisterOptions): Promise<void> {
  await withChain(options, async (session) => {
    const { chain, config } = session
    const hotkey = await loadHotkeyAddress(namedWallet(config))
    const { maxBurn } = options
    const limit: Pick<HotkeyRequest, 'maxBurnRao'> = maxBurn === undefined ? {} : { maxBurnRao: maxBurn }
    await runPlan(session, options, {
      plan: (coldkey, signal) => planHotkey(chain, { hotkey, coldkey, ...limit }, signal),
      apply: async (plan, coldkey, signal) => ({
        hotkey,
        uid: await registerHotkey(chain, plan, coldkey, signal),
      }),
      settled: ({ uid }) => ({ hotkey, ...(uid === undefined ? {} : { uid }) }),
    })
  })
}

async function stake(amountRao: bigint, options: StakeOptions): Promise<void> {
  await withChain(options, async (session) => {
    const { chain, config } = session
    const hotkey = await loadHotkeyAddress(namedWallet(config))
    const components = { chain, intents: intentsOf(session) }
    await runPlan(session, options, {
      plan: (coldkey, signal) =>
        planStake(chain, { hotkey, coldkey, amountRao, again: options.again }, signal),
      apply: async (plan, coldkey, signal) => {
        await addStake(components, plan, coldkey, signal)
        return { hotkey, staked: formatTao(amountRao) }
      },
      settled: () => ({ hotkey }),
    })
  })
}
