/**
 * What every `Chain` must do, whatever is behind it: the devchain, the real runtime, a real node. The implementation
 * under test brings a way to make blocks, and says what it has; what it cannot pass is pending, never left out.
 */
import assert from 'node:assert/strict'
import { isSubnetError } from '../../src/base/errors.js'
import { cryptoReady } from '../../src/crypto/keys.js'
import { testRecord } from '../kit/chain-keys.js'
import {
  type ChainAbilities,
  ChainBench,
  type ChainSuite,
  type DeclareTest,
  type OpenChain,
} from './chain-bench.js'
import { epochConformance } from './chain-epoch.js'
import { faucetConformance } from './chain-faucet.js'
import { registrationConformance } from './chain-registration.js'
import { subnetConformance } from './chain-subnet.js'
import { weightsConformance } from './chain-weights.js'

/** Long enough for the commitments that use up an epoch's budget, one a block. */
export const CONFORMANCE_TEMPO = 50

export interface ConformanceOptions extends Partial<ChainAbilities> {
  /** Titles of tests that what runs there cannot pass, and why. */
  readonly cannot?: Readonly<Record<string, string>>
  readonly timeoutMs?: number
}

const LACKS: Readonly<Record<keyof ChainAbilities, string>> = {
  faucet: 'this chain has no faucet',
  orders: 'this chain is not ours to command',
}

/** All abilities unless said otherwise. */
export function chainConformance(name: string, open: OpenChain, options: ConformanceOptions = {}): void {
  const { cannot = {}, timeoutMs, ...has } = options
  const declare: DeclareTest = (title, run, needs) => {
    const reason = needs !== undefined && has[needs] === false ? LACKS[needs] : cannot[title]
    if (reason === undefined) it(title, run)
    else it(`${title} (${reason})`)
  }
  const suite: ChainSuite = { open, it: declare }
  describe(`Chain: ${name}`, function () {
    if (timeoutMs !== undefined) this.timeout(timeoutMs)
    before(() => cryptoReady())
    readingConformance(suite)
    registrationConformance(suite)
    subnetConformance(suite)
    epochConformance(suite)
    faucetConformance(suite)
    weightsConformance(suite)
  })
}

function readingConformance({ open, it }: ChainSuite): void {
  describe('reading', () => {
    let bench: ChainBench
    beforeEach(async () => {
      bench = new ChainBench(await open({}))
    })
    afterEach(() => bench.harness[Symbol.asyncDispose]())

    it('knows its constants once started', () => {
      const { genesisHash, netuid, blockMs, tempo } = bench.chain.constants
      assert.match(genesisHash, /^0x[0-9a-f]{64}$/)
      for (const number of [netuid, blockMs, tempo]) assert.ok(Number.isSafeInteger(number) && number > 0)
    })

    it('calls back for new heads in order until told to stop', async () => {
      const { chain, harness } = bench
      const heads: { readonly number: number; readonly hash: string; readonly timestampMs: number }[] = []
      const unsubscribe = chain.onHead((head) => heads.push(head))
      for (let i = 0; i < 3; i += 1) await harness.nextBlock()
      unsubscribe()
      const seen = heads.length
      await harness.nextBlock()
      assert.equal(heads.length, seen)
      assert.ok(seen >= 3)
      heads.forEach(({ number, timestampMs }, i) => {
        const before = heads[i - 1]
        if (before === undefined) return
        assert.equal(number, before.number + 1)
        assert.ok(timestampMs > before.timestampMs)
      })
      assert.equal(new Set(heads.map((head) => head.hash)).size, seen)
    })

    it('has a final head that is not ahead of the head', async () => {
      await bench.blocks(2)
      const [final, head] = await Promise.all([bench.chain.finalizedHead(), bench.chain.head()])
      assert.ok(final.number <= head.number)
      assert.match(final.hash, /^0x[0-9a-f]{64}$/)
    })

    it('shows the metagraph of a past block as it was, and names the next epoch', async () => {
      const { chain, harness } = bench
      const before = await chain.metagraph()
      await harness.nextBlock()
      await harness.nextBlock()
      const now = await chain.metagraph()
      assert.ok(now.block > before.block)
      assert.deepEqual(await chain.metagraph({ at: before.block }), before)
      assert.ok(now.nextEpochBlock > now.block)
      assert.equal(now.netuid, chain.constants.netuid)
      assert.deepEqual(
        now.neurons.map(({ uid }) => uid),
        [...now.neurons.keys()],
      )
    })

    it('refuses the metagraph of a block that is not there', async () => {
      const ahead = (await bench.chain.head()).number + 1_000
      for (const at of [ahead, -1, 0.5]) await bench.refused(bench.chain.metagraph({ at }), 'UnknownBlock')
    })

    it('has randomness of its own for every block, the same whenever asked, none for the future', async () => {
      const { chain, harness } = bench
      await harness.nextBlock()
      const { number } = await chain.head()
      const value = await chain.randomness(number)
      assert.equal(value.length, 32)
      await harness.nextBlock()
      assert.deepEqual(await chain.randomness(number), value)
      assert.notDeepEqual(await chain.randomness(number + 1), value)
      await bench.refused(chain.randomness(number + 1_000), 'UnknownBlock')
    })

    it('reads the hyperparameters of its subnet, now and before, and of any other', async () => {
      const { chain } = bench
      const now = await chain.hyperparameters()
      assert.equal(now.tempo, chain.constants.tempo)
      assert.ok(now.burnRao >= now.minBurnRao && now.burnRao <= now.maxBurnRao)
      assert.ok(now.maxAllowedUids <= 256 && now.maxAllowedValidators <= now.maxAllowedUids)
      const { number } = await chain.head()
      assert.equal((await chain.hyperparameters({ at: number })).tempo, now.tempo)
      const { netuid } = chain.constants
      assert.equal((await chain.hyperparameters({ netuid })).tempo, now.tempo)
      await bench.refused(chain.hyperparameters({ netuid: 60_000 }), 'SubnetNotExists')
    })

    it('knows its subnets, what one costs, and nobody’s balance', async () => {
      const { chain, harness } = bench
      const { netuid } = chain.constants
      assert.ok((await chain.subnets()).includes(netuid))
      const info = await chain.subnet(netuid)
      assert.equal(info?.netuid, netuid)
      assert.ok(info.ownerColdkey.length >= 46)
      assert.equal(await chain.subnet(60_000), undefined)
      assert.ok((await chain.subnetCostRao()) > 0n)
      assert.equal(await chain.balanceRao(harness.hotkey(1).address), 0n)
    })

    it('gives up when the caller does, with the caller’s reason', async () => {
      const { chain, harness } = bench
      const reason = new Error('no longer wanted')
      const signal = AbortSignal.abort(reason)
      const is = (error: unknown) => error === reason
      const { signer } = harness.hotkey(1)
      await assert.rejects(chain.commit(signer, testRecord(1), { signal }), is)
      await assert.rejects(chain.serve(signer, { ip: '1.2.3.4', port: 1 }, { signal }), is)
      await assert.rejects(chain.metagraph({ signal, at: 0 }), is)
    })

    it('answers nothing after it is stopped', async () => {
      const { chain, harness } = bench
      const stopped = (error: unknown) => isSubnetError(error, 'STOPPED')
      await chain.stop()
      await assert.rejects(chain.head(), stopped)
      await assert.rejects(chain.commit(harness.hotkey(1).signer, testRecord(1)), stopped)
      await chain.stop()
    })
  })
}
