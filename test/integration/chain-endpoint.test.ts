/**
 * The conformance suite against what SUBTENSOR_ENDPOINT names: the real runtime in Chopsticks, which obeys and runs all
 * of it (docs/guides/local-runtime.md), or a node that others use too (ws://127.0.0.1:9944 for a local one with its
 * development keys, dev://host:port for a devchain), with SUBTENSOR_NETUID its subnet. Without it, it is pending.
 */
import { Keyring } from '@polkadot/keyring'
import { systemClock } from '../../src/base/clock.js'
import { silentLogger } from '../../src/base/log.js'
import { systemRandom } from '../../src/base/random.js'
import type { Chain } from '../../src/chain/chain.js'
import { connectChain } from '../../src/chain/endpoint.js'
import { sr25519Signer, toSs58 } from '../../src/crypto/keys.js'
import { chainConformance } from '../conformance/chain.js'
import type { ChainHarness } from '../conformance/chain-bench.js'
import type { TestKey } from '../kit/chain-keys.js'
import { LocalRuntime } from '../kit/local-runtime.js'
import { runtimeHarness } from '../kit/runtime-harness.js'
import { olderThan } from '../kit/runtime-limits.js'

const endpoint = process.env.SUBTENSOR_ENDPOINT
const netuid = Number(process.env.SUBTENSOR_NETUID ?? '1')
const TIMEOUT_MS = 600_000
/** Whom a local node's genesis gives money. */
const RICH = ['//Alice', '//Bob']

if (endpoint === undefined || endpoint === '') {
  describe('Chain: a real node', () => {
    it('does all that a chain must do: set SUBTENSOR_ENDPOINT to a node')
  })
} else {
  const runtime = endpoint.startsWith('ws') ? await LocalRuntime.open(endpoint) : undefined
  if (runtime !== undefined && (await runtime.isOurs())) {
    const spec = await runtime.specVersion()
    const options = { faucet: false, cannot: olderThan(spec), timeoutMs: TIMEOUT_MS }
    chainConformance(`the runtime ${spec}`, (wish) => runtimeHarness(runtime, endpoint, wish), options)
    after(() => runtime[Symbol.asyncDispose]())
  } else {
    await runtime?.[Symbol.asyncDispose]()
    const options = { faucet: false, orders: false, timeoutMs: TIMEOUT_MS }
    chainConformance(`the node at ${endpoint}`, () => open(endpoint), options)
  }
}

async function open(at: string): Promise<ChainHarness> {
  const components = { clock: systemClock, random: systemRandom, logger: silentLogger }
  const chain = connectChain(at, components, { netuid })
  await chain.start()
  const hotkeys = new Map<number, TestKey>()
  const needsOrders = () => Promise.reject(new Error('asked of a node that takes no orders'))
  return {
    chain,
    nextBlock: () => nextHead(chain),
    join: needsOrders,
    stake: needsOrders,
    hotkey(number) {
      const known = hotkeys.get(number) ?? keyOf(systemRandom.bytes(32))
      hotkeys.set(number, known)
      return known
    },
    async coldkey(number, rao) {
      if (chain.faucet !== undefined) {
        const key = keyOf(systemRandom.bytes(32))
        await chain.faucet.pay(key.signer, rao)
        return key
      }
      const pair = new Keyring({ type: 'sr25519' }).addFromUri(RICH[number - 1] ?? '//Alice')
      const { publicKey } = pair
      const signer = {
        scheme: 'sr25519',
        publicKey,
        sign: (message: Uint8Array) => pair.sign(message),
      } as const
      return { signer, address: toSs58(publicKey) }
    },
    [Symbol.asyncDispose]: () => chain.stop(),
  }
}

function keyOf(seed: Uint8Array): TestKey {
  const signer = sr25519Signer(seed)
  return { signer, address: toSs58(signer.publicKey) }
}

async function nextHead(chain: Chain): Promise<void> {
  await new Promise<void>((resolve) => {
    const unsubscribe = chain.onHead(() => {
      unsubscribe()
      resolve()
    })
  })
}
