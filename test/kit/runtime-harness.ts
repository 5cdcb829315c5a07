/**
 * The real runtime for the conformance suite: subnet 1 of its genesis, emptied, with a pool that can be bought from and
 * the rules a test wishes for, fresh for every test. What it prepares is storage; all calls are the runtime's own.
 */
import type { ParameterOverrides } from '../../src/chain/devchain/parameters.js'
import { CONFORMANCE_TEMPO } from '../conformance/chain.js'
import { type ChainHarness, type ChainWish, TAO } from '../conformance/chain-bench.js'
import { type TestKey, testColdkey, testHotkey } from './chain-keys.js'
import type { LocalRuntime } from './local-runtime.js'
import { subtensorChain } from './mock-subnet.js'
import { until } from './until.js'

const NETUID = 1
/** Its clock is its own. */
const PATIENCE = { staleMs: Number.MAX_SAFE_INTEGER, silentMs: 10 ** 9 }
/** So deep that a stake of 1 TAO hardly moves the price. */
const POOL_RAO = 10 ** 15
const RICH_RAO = 10n ** 15n
/** A write takes a handful of round trips until it waits in the pool; then a block is due, whatever came of it. */
const ASKED_MS = 3_000
const BLOCK_DEADLINE_MS = 120_000

const PER_UID = [
  ...['Rank', 'Trust', 'Active', 'Emission', 'Consensus', 'Incentive', 'Dividends', 'LastUpdate'],
  ...['PruningScores', 'ValidatorTrust', 'ValidatorPermit'],
]
/** Where a wish is kept, and in how many bytes. */
const ITEMS: Readonly<Record<string, readonly [item: string, bytes: number]>> = {
  commitRevealEnabled: ['CommitRevealWeightsEnabled', 1],
  weightsRateLimitBlocks: ['WeightsSetRateLimit', 8],
  minAllowedWeights: ['MinAllowedWeights', 2],
  maxWeightsLimit: ['MaxWeightsLimit', 2],
  weightsVersion: ['WeightsVersionKey', 8],
  maxAllowedUids: ['MaxAllowedUids', 2],
  immunityPeriodBlocks: ['ImmunityPeriod', 2],
  minNonImmuneUids: ['MinNonImmuneUids', 2],
  stakeThresholdRao: ['StakeThreshold', 8],
}
/** Up to here weights and addresses are refused in the block only. */
const LATE_SPEC_MAX = 300
const PLAIN: ReadonlySet<string> = new Set(['StakeThreshold'])

export async function runtimeHarness(
  runtime: LocalRuntime,
  url: string,
  { tempo = CONFORMANCE_TEMPO, parameters = {} }: ChainWish,
): Promise<ChainHarness> {
  await runtime.rewind()
  await emptySubnet(runtime, tempo)
  await setRules(runtime, { commitRevealEnabled: true, ...parameters })
  await runtime.newBlocks()
  const chain = subtensorChain([url], { netuid: NETUID, ...PATIENCE })
  await chain.start()
  /** Of each hotkey that joined. */
  const owners = new Map<string, TestKey>()
  const fund = (coldkey: TestKey, free: bigint) =>
    runtime.put({ System: { Account: [[[coldkey.address], { providers: 1, data: { free: `${free}` } }]] } })
  const isSeen = async () => (await chain.head()).hash === (await runtime.head())
  const refusesLate = (await runtime.specVersion()) <= LATE_SPEC_MAX
  return {
    chain,
    refusesLate,
    async nextBlock() {
      await runtime.newBlocks()
      await until(isSeen, { deadlineMs: BLOCK_DEADLINE_MS, title: 'the client sees the new head' })
    },
    async asked(settled) {
      const isDue = async () => settled() || (await runtime.waiting()) > 0
      // Late is no failure: the call may wait for the next block itself.
      await until(isDue, { deadlineMs: ASKED_MS }).catch(() => undefined)
    },
    hotkey: testHotkey,
    async coldkey(number, rao) {
      const key = testColdkey(number)
      await fund(key, rao)
      return key
    },
    async join(hotkey, coldkey) {
      if (![...owners.values()].some(({ address }) => address === coldkey.address))
        await fund(coldkey, RICH_RAO)
      owners.set(hotkey.address, coldkey)
      const request = { coldkey: coldkey.signer, hotkey: hotkey.address, limitRao: 100n * TAO }
      return chain.burnedRegister(request)
    },
    async stake(hotkey, rao) {
      const coldkey = owners.get(hotkey.address)
      if (coldkey === undefined) throw new Error('only a hotkey that joined is staked for')
      await chain.stake({ coldkey: coldkey.signer, hotkey: hotkey.address, amountRao: rao })
    },
    async [Symbol.asyncDispose]() {
      await chain.stop()
    },
  }
}

/** As a subnet that was just made and started: nobody in it, and a pool with two sides. */
async function emptySubnet(runtime: LocalRuntime, tempo: number): Promise<void> {
  const ofSubnet = (value: unknown) => [[[NETUID], value]]
  await runtime.put({
    SubtensorModule: {
      $removePrefix: ['Uids', 'Keys', 'IsNetworkMember', 'Axons', 'Weights', 'BlockAtRegistration', 'Bonds'],
      SubnetworkN: ofSubnet('0x0000'),
      ...Object.fromEntries(PER_UID.map((item) => [item, ofSubnet('0x00')])),
      Tempo: ofSubnet(tempo),
      SubnetTAO: ofSubnet(POOL_RAO),
      SubnetAlphaIn: ofSubnet(POOL_RAO),
      SubnetAlphaOut: ofSubnet(POOL_RAO),
      SubnetMovingPrice: ofSubnet({ bits: `${2n ** 32n}` }),
      SubtokenEnabled: ofSubnet(true),
      FirstEmissionBlockNumber: ofSubnet(1),
      NetworkRegistrationAllowed: ofSubnet(true),
      MaxRegistrationsPerBlock: ofSubnet(64),
      TargetRegistrationsPerInterval: ofSubnet(64),
      ServingRateLimit: ofSubnet(tempo),
      NetworkRateLimit: little(0, 8),
    },
  })
}

async function setRules(runtime: LocalRuntime, parameters: ParameterOverrides): Promise<void> {
  const SubtensorModule: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(parameters)) {
    const [item, bytes] = ITEMS[name] ?? []
    if (item === undefined || bytes === undefined) throw new Error(`no storage is known for ${name}`)
    const scale = little(value, bytes)
    SubtensorModule[item] = PLAIN.has(item) ? scale : [[[NETUID], scale]]
  }
  await runtime.put({ SubtensorModule })
}

/** SCALE of a number or a flag. */
function little(value: number | bigint | boolean, bytes: number): string {
  const hex = BigInt(value)
    .toString(16)
    .padStart(2 * bytes, '0')
  return `0x${(hex.match(/../g) ?? []).reverse().join('')}`
}
