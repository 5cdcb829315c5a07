import assert from 'node:assert/strict'
import { isSubnetError } from '../../../../src/base/errors.js'
import {
  type GenesisSpec,
  genesisConstants,
  refusePublicGenesis,
  SUPPLY_RAO,
} from '../../../../src/chain/devchain/genesis.js'
import { cryptoReady } from '../../../../src/crypto/keys.js'
import { testColdkey, testHotkey } from '../../../kit/chain-keys.js'
import { readVectors } from '../../../kit/vectors.js'

describe('devchain genesis', () => {
  let spec: GenesisSpec
  before(async () => {
    await cryptoReady()
    const neuron = {
      hotkey: testHotkey(1).address,
      coldkey: testColdkey(1).address,
      stakeRao: 2n ** 53n + 1n,
    }
    spec = { name: 'vector', netuid: 1, blockMs: 1_000, tempo: 20, neurons: [neuron] }
  })
  const hashOf = (fields: Partial<GenesisSpec>) => genesisConstants({ ...spec, ...fields }).genesisHash
  const config = (error: unknown) => isSubnetError(error, 'CONFIG')

  it('has the hash of its canonical dag-cbor', () => {
    const { hash } = readVectors<{ genesis: { hash: string } }>('devchain').genesis
    assert.equal(hashOf({}), hash)
    const { netuid, blockMs, tempo } = genesisConstants(spec)
    assert.deepEqual({ netuid, blockMs, tempo }, { netuid: 1, blockMs: 1_000, tempo: 20 })
  })

  it('has another hash when anything in it differs', () => {
    const [neuron] = spec.neurons
    assert.ok(neuron)
    const hashes = [
      hashOf({}),
      hashOf({ name: 'other' }),
      hashOf({ netuid: 2 }),
      hashOf({ blockMs: 999 }),
      hashOf({ tempo: 21 }),
      hashOf({ neurons: [] }),
      hashOf({ neurons: [{ ...neuron, stakeRao: 6n }] }),
    ]
    assert.equal(new Set(hashes).size, hashes.length)
  })

  it('refuses a spec that makes no sense', () => {
    const neuron = { hotkey: testHotkey(1).address, coldkey: testColdkey(1).address, stakeRao: 5n }
    const wrong: Partial<GenesisSpec>[] = [
      { name: '' },
      { netuid: 0 },
      { netuid: 65_536 },
      { blockMs: 0 },
      { blockMs: Number.NaN },
      { tempo: 0 },
      { tempo: 1.5 },
      { neurons: [neuron, neuron] },
      { neurons: [{ ...neuron, hotkey: 'x' }] },
      { neurons: [{ ...neuron, coldkey: `0x${'11'.repeat(32)}` }] },
      { neurons: [{ ...neuron, stakeRao: -1n }] },
      { neurons: [{ ...neuron, stakeRao: SUPPLY_RAO + 1n }] },
      { neurons: Array.from({ length: 257 }, (_, i) => ({ ...neuron, hotkey: testHotkey(i).address })) },
    ]
    for (const fields of wrong) assert.throws(() => genesisConstants({ ...spec, ...fields }), config)
  })

  it('refuses the public networks, in any spelling of their hash', () => {
    const finney = '0x2f0555cc76fc2840a25a6ea3b9637146806f1f44b090c175ffde2a7e5ab36c03'
    const test = '0x8f9cf856bf558a14440e75569c9e58594757048d7b3a84b5d25f6bd978263105'
    const refused = (error: unknown) => isSubnetError(error, 'CHAIN_REFUSED')
    for (const hash of [finney, test, `0x${finney.slice(2).toUpperCase()}`]) {
      assert.throws(() => refusePublicGenesis(hash), refused)
    }
    refusePublicGenesis(hashOf({}))
  })
})
