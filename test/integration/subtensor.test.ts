import assert from 'node:assert/strict'
import { isSubnetError } from '../../src/base/errors.js'
import type { SubtensorChain } from '../../src/chain/subtensor/adapter.js'
import { cryptoReady } from '../../src/crypto/keys.js'
import { testColdkey, testHotkey, testRecord } from '../kit/chain-keys.js'
import { NETUID, putSubnet, runCall, subtensorChain, TEMPO } from '../kit/mock-subnet.js'
import { MockSubtensor } from '../kit/mock-subtensor.js'
import { metadataWithout } from '../kit/subtensor-metadata.js'
import { until } from '../kit/until.js'

describe('the subtensor chain', () => {
  let node: MockSubtensor
  let chain: SubtensorChain

  before(async () => {
    await cryptoReady()
    node = await MockSubtensor.open()
    putSubnet(node)
    node.execute = runCall
    chain = subtensorChain([node.url])
    await chain.start()
  })
  after(async () => {
    await chain.stop()
    await node[Symbol.asyncDispose]()
  })

  it('knows its constants', () => {
    assert.deepEqual(chain.constants, {
      genesisHash: node.genesisHash,
      netuid: NETUID,
      blockMs: 250,
      tempo: TEMPO,
    })
  })

  it('reads the metagraph from the runtime’s own answer', async () => {
    const { neurons, ...rest } = await chain.metagraph()
    console.log(JSON.stringify(rest), neurons)
  })
})
