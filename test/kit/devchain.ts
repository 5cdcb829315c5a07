/** A devchain on a clock of the test's own, reached in the same process or over a real WebSocket. */
import assert from 'node:assert/strict'
import { silentLogger } from '../../src/base/log.js'
import { seededRandom } from '../../src/base/random.js'
import type { Chain } from '../../src/chain/chain.js'
import { DevchainAdapter } from '../../src/chain/devchain/adapter.js'
import { localApi } from '../../src/chain/devchain/api.js'
import { Devchain } from '../../src/chain/devchain/devchain.js'
import { DevchainServer, type DevchainServerInit } from '../../src/chain/devchain/devchain-server.js'
import type { GenesisSpec } from '../../src/chain/devchain/genesis.js'
import { CONFORMANCE_TEMPO } from '../conformance/chain.js'
import type { ChainHarness, ChainWish } from '../conformance/chain-bench.js'
import { testColdkey, testHotkey } from './chain-keys.js'
import { FakeClock, turn } from './fake-clock.js'
import { until } from './until.js'

export const TEST_GENESIS: GenesisSpec = { name: 'test', netuid: 7, blockMs: 1_000, tempo: 5, neurons: [] }

export interface TestDevchain {
  readonly clock: FakeClock
  readonly devchain: Devchain
}

export async function startDevchain(
  spec: Partial<GenesisSpec> = {},
  clock = new FakeClock(),
): Promise<TestDevchain> {
  const components = { clock, random: seededRandom('devchain'), logger: silentLogger }
  const devchain = new Devchain(components, { genesis: { ...TEST_GENESIS, ...spec } })
  await devchain.start()
  return { clock, devchain }
}

export async function startServer(
  { devchain, clock }: TestDevchain,
  init: DevchainServerInit = { port: 0 },
): Promise<DevchainServer> {
  const server = new DevchainServer({ devchain, clock, logger: silentLogger }, init)
  await server.start()
  return server
}

/** Round trips it takes to get one write into the pool: nonce, head, submit. */
const WRITE_ROUND_TRIPS = 3
const TURNS_MAX = 50

/** Makes one block after everything on its way has arrived, and waits until `chain` has seen it and answered it. */
export async function nextBlock({ devchain, clock }: TestDevchain, chain: Chain): Promise<void> {
  for (let i = 0; i < WRITE_ROUND_TRIPS; i += 1) await chain.randomness(0)
  await clock.advance(devchain.constants.blockMs)
  const isSeen = async () => (await chain.head()).hash === devchain.head.hash
  // It is on its way: most often a few turns are enough, and polling is slow.
  for (let i = 0; i < TURNS_MAX && !(await isSeen()); i += 1) await turn()
  await until(isSeen, { deadlineMs: 2_000, title: 'the client sees the new head' })
  await chain.randomness(0)
  await turn()
}

/** A devchain for the conformance suite, seen through the chain that `connect` makes. */
export async function devchainHarness(
  { tempo = CONFORMANCE_TEMPO, parameters }: ChainWish,
  connect: (test: TestDevchain) => Promise<{ readonly chain: Chain; readonly close?: () => Promise<void> }>,
): Promise<ChainHarness> {
  const test = await startDevchain({ tempo, ...(parameters === undefined ? {} : { parameters }) })
  const { chain, close } = await connect(test)
  await chain.start()
  const faucet = () => chain.faucet ?? assert.fail('a devchain has a faucet')
  return {
    chain,
    nextBlock: () => nextBlock(test, chain),
    hotkey: testHotkey,
    async coldkey(number, rao) {
      const key = testColdkey(number)
      const paying = chain.faucet?.pay(key.signer, rao)
      let paid = false
      void paying?.then(() => {
        paid = true
      })
      while (!paid) await nextBlock(test, chain)
      await paying
      return key
    },
    join: (hotkey, coldkey) => faucet().join({ hotkey: hotkey.signer, coldkey: coldkey.address }),
    stake: (hotkey, rao) => faucet().stake(hotkey.signer, rao),
    async [Symbol.asyncDispose]() {
      await chain.stop()
      await close?.()
      await test.devchain.stop()
      assert.equal(test.clock.pendingTimers, 0)
    },
  }
}

/** A devchain in the same process as a chain. */
export function localAdapter(test: TestDevchain): DevchainAdapter {
  return new DevchainAdapter({ api: localApi(test.devchain), clock: test.clock })
}
