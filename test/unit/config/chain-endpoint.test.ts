import assert from 'node:assert/strict'
import { isSubnetError } from '../../../src/base/errors.js'
import { chainDirectory, chainEndpoint, namesChain } from '../../../src/config/chain-endpoint.js'
import { resolveConfig } from '../../../src/config/resolve.js'

function config(network?: string, endpoint?: string) {
  const flags = {
    ...(network === undefined ? {} : { 'subtensor.network': network }),
    ...(endpoint === undefined ? {} : { 'subtensor.chain_endpoint': endpoint }),
  }
  return resolveConfig({ flags, environment: {} })
}

describe('chainEndpoint', () => {
  it('is this machine’s devchain when no chain is named', () => {
    for (const network of [undefined, 'devchain']) {
      assert.equal(chainEndpoint(config(network)), 'dev://127.0.0.1:9955')
      assert.equal(namesChain(config(network)), false)
    }
  })

  it('is the network that is named, or the endpoint', () => {
    assert.equal(chainEndpoint(config('finney')), 'finney')
    assert.equal(chainEndpoint(config(undefined, 'ws://own:9944')), 'ws://own:9944')
    assert.ok(namesChain(config('local')))
    assert.ok(namesChain(config(undefined, 'dev://a:1')))
  })

  it('binds endpoints to the network that is named with them', () => {
    assert.equal(
      chainEndpoint(config('test', 'ws://own:9944,wss://b:1')),
      'ws://own:9944#test,wss://b:1#test',
    )
    assert.equal(chainEndpoint(config('local', 'ws://own:9944')), 'ws://own:9944')
    assert.equal(chainEndpoint(config('devchain', 'dev://own:1')), 'dev://own:1')
  })

  it('refuses a devchain where a network is meant, and the other way round', () => {
    for (const [network, endpoint] of [
      ['finney', 'dev://a:1'],
      ['devchain', 'ws://a:1'],
    ] as const) {
      assert.throws(
        () => chainEndpoint(config(network, endpoint)),
        (error) => isSubnetError(error, 'CONFIG') && error.message.includes('--subtensor.network'),
      )
    }
  })
})

describe('chainDirectory', () => {
  it('keeps what is of one chain apart from what is of another', () => {
    assert.equal(chainDirectory(config()), 'dev')
    assert.equal(chainDirectory(config(undefined, 'dev://a:1')), 'dev')
    assert.equal(chainDirectory(config('finney')), 'finney-1')
    assert.equal(chainDirectory(config('finney', 'wss://own:9944')), 'finney-1')
    assert.equal(chainDirectory(config(undefined, 'test')), 'test-1')
    assert.equal(chainDirectory(config(undefined, 'wss://own:9944')), 'custom-1')
  })
})
