import assert from 'node:assert/strict'
import { isSubnetError } from '../../../../src/base/errors.js'
import { NETWORKS, subtensorEndpoints } from '../../../../src/chain/subtensor/networks.js'

const FINNEY = NETWORKS.finney.genesisHash

describe('subtensorEndpoints', () => {
  it('knows networks by name, and which genesis they have', () => {
    assert.deepEqual(subtensorEndpoints('finney'), {
      urls: ['wss://entrypoint-finney.opentensor.ai:443'],
      genesisHash: FINNEY,
    })
    assert.deepEqual(subtensorEndpoints('local'), { urls: ['ws://127.0.0.1:9944'], genesisHash: undefined })
  })

  it('takes addresses in order, each once, and binds them to a network that is named', () => {
    const urls = ['ws://own:9944', 'wss://b.example/path']
    assert.deepEqual(subtensorEndpoints('ws://own:9944, wss://b.example/path,ws://own:9944/'), {
      urls,
      genesisHash: undefined,
    })
    assert.deepEqual(subtensorEndpoints('ws://own:9944#finney,wss://b.example/path'), {
      urls,
      genesisHash: FINNEY,
    })
    assert.equal(subtensorEndpoints('ws://own:9944,finney')?.genesisHash, FINNEY)
  })

  it('leaves what is none of this to others', () => {
    for (const text of ['', 'dev://127.0.0.1:9955', 'http://x', 'mainnet'])
      assert.equal(subtensorEndpoints(text), undefined)
  })

  it('refuses lists that make no sense', () => {
    for (const text of [
      'finney,test',
      'ws://a:1,',
      'ws://a:1,dev://b:1',
      'ws://a:1#nowhere',
      'ws://a:1#test,finney',
    ])
      assert.throws(
        () => subtensorEndpoints(text),
        (error) => isSubnetError(error, 'CONFIG'),
        text,
      )
  })
})
