/** What the conformance suite of `Chain` stands on: a chain under test, a way to make blocks, keys and money. */
import assert from 'node:assert/strict'
import { isSubnetError } from '../../src/base/errors.js'
import type { Chain, ChainRecord, Faucet, Neuron, RefusalData } from '../../src/chain/chain.js'
import type { ParameterOverrides } from '../../src/chain/devchain/parameters.js'
import { type TestKey, testColdkey } from '../kit/chain-keys.js'

/** What one test wants of its chain. A real node has what it has: tests that wish for something do not run on it. */
export interface ChainWish {
  readonly tempo?: number
  readonly parameters?: ParameterOverrides
}

/** What a chain has that not every chain has. A real node that others use has neither. */
export interface ChainAbilities {
  /** Anyone may register and stake for nothing. */
  readonly faucet: boolean
  /** Fresh for each test, as wished, and it makes a block when told. */
  readonly orders: boolean
}

/** Declares a test as mocha's `it` does; one that this chain cannot pass is pending, with the reason in its title. */
export type DeclareTest = (
  title: string,
  run: () => Promise<void> | void,
  needs?: keyof ChainAbilities,
) => void

export interface ChainSuite {
  readonly open: OpenChain
  readonly it: DeclareTest
}

/** A started chain for one test. A devchain is fresh, without registered hotkeys; a real one may have any. */
export interface ChainHarness extends AsyncDisposable {
  readonly chain: Chain
  /** Lets what was asked of the chain arrive, makes or awaits a block, and resolves when `chain` has seen it. */
  nextBlock(): Promise<void>
  /** Hotkeys nobody has registered, the same number always the same within one test. */
  hotkey(number: number): TestKey
  /** A coldkey of its own with this balance at least. */
  coldkey(number: number, rao: bigint): Promise<TestKey>
  /** Registers, in the chain's cheapest way; the coldkey's money is no matter. Resolves with the uid. */
  join(hotkey: TestKey, coldkey: TestKey): Promise<number>
  /** Adds stake to a hotkey that joined, paid by whoever has it. */
  stake(hotkey: TestKey, rao: bigint): Promise<void>
  /** Of an old runtime, which lets a call into a block before it refuses it: newer ones refuse in the pool. */
  readonly refusesLate?: boolean
  /** Of a chain that is slow: resolves once a call waits for its block, or `settled` says that none will come. */
  asked?(settled: () => boolean): Promise<void>
}

export type OpenChain = (wish: ChainWish) => Promise<ChainHarness>

const BLOCKS_MAX = 80
export const TAO = 1_000_000_000n
/** More than the real chain's least stake. */
export const STAKE_RAO = TAO

export class ChainBench {
  readonly harness: ChainHarness
  readonly chain: Chain

  constructor(harness: ChainHarness) {
    this.harness = harness
    this.chain = harness.chain
  }

  /** Makes blocks until `work` settles. */
  async inBlocks<T>(work: Promise<T>): Promise<T> {
    let settled = false
    const watched = work.finally(() => {
      settled = true
    })
    // Its failure is read below; until then it must not count as unhandled.
    watched.catch(() => undefined)
    for (let block = 0; block < BLOCKS_MAX && !settled; block += 1) {
      await this.harness.asked?.(() => settled)
      if (!settled) await this.harness.nextBlock()
    }
    assert.ok(settled, `not settled within ${BLOCKS_MAX} blocks`)
    return watched
  }

  async blocks(count: number): Promise<void> {
    for (let i = 0; i < count; i += 1) await this.harness.nextBlock()
  }

  /** To the first block of the next epoch. */
  async untilEpoch(): Promise<void> {
    const { nextEpochBlock } = await this.chain.metagraph()
    while ((await this.chain.head()).number < nextEpochBlock) await this.harness.nextBlock()
  }

  get faucet(): Faucet {
    return this.chain.faucet ?? assert.fail('a devchain has a faucet')
  }

  async join(hotkey: TestKey, coldkey: TestKey): Promise<number> {
    return this.inBlocks(this.harness.join(hotkey, coldkey))
  }

  async stake(hotkey: TestKey, rao: bigint): Promise<void> {
    await this.inBlocks(this.harness.stake(hotkey, rao))
  }

  /** Registers with burn; the uid. */
  async register(hotkey: TestKey, coldkey: TestKey, limitRao = 100n * TAO): Promise<number> {
    const request = { coldkey: coldkey.signer, hotkey: hotkey.address, limitRao }
    return this.inBlocks(this.chain.burnedRegister(request))
  }

  async commit(hotkey: TestKey, record: ChainRecord): Promise<void> {
    await this.inBlocks(this.chain.commit(hotkey.signer, record))
  }

  async neuron(hotkey: TestKey): Promise<Neuron> {
    const { neurons } = await this.chain.metagraph()
    return neurons.find((neuron) => neuron.hotkey === hotkey.address) ?? assert.fail('not registered')
  }

  /** Expects the chain to refuse, and returns how. */
  async refused(work: Promise<unknown>, reason: string): Promise<RefusalData> {
    const error: unknown = await this.inBlocks(work).then(
      () => assert.fail(`not refused with ${reason}`),
      (failure: unknown) => failure,
    )
    assert.ok(isSubnetError(error, 'CHAIN_REFUSED'), `${error}`)
    assert.equal(error.data.reason, reason)
    const { kind } = error.data
    assert.ok(kind === 'precondition' || kind === 'pool' || kind === 'dispatch', `kind is ${kind}`)
    return { ...error.data, kind, reason }
  }

  /** Expects a refusal by the node's pool with this code, before it costs the sender anything. */
  assertInPool({ kind, code }: RefusalData, expected: number): void {
    const isLate = this.harness.refusesLate ?? false
    assert.deepEqual([kind, code], isLate ? ['dispatch', undefined] : ['pool', expected])
  }
}

/** For a `describe` whose tests open a chain each as they wish. */
export interface TestBench {
  /** A fresh one, gone after the test. */
  readonly openBench: (wish?: ChainWish) => Promise<ChainBench>
  /** Of the open one. */
  readonly hotkey: (number: number) => TestKey
  readonly join: (number: number, coldkey?: number) => Promise<number>
}

export function testBench(open: OpenChain): TestBench {
  let bench: ChainBench | undefined
  afterEach(() => bench?.harness[Symbol.asyncDispose]())
  const opened = () => bench ?? assert.fail('a test opens its chain first')
  const hotkey = (number: number) => opened().harness.hotkey(number)
  return {
    openBench: async (wish = {}) => {
      bench = new ChainBench(await open(wish))
      return bench
    },
    hotkey,
    join: (number, coldkey = 1) => opened().join(hotkey(number), testColdkey(coldkey)),
  }
}
