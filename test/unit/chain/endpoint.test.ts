import assert from 'node:assert/strict'
import { isSubnetError } from '../../../src/base/errors.js'
import { silentLogger } from '../../../src/base/log.js'
import { seededRandom } from '../../../src/base/random.js'
import { connectChain } from '../../../src/chain/endpoint.js'
import { SubtensorChain } from '../../../src/chain/subtensor/adapter.js'
import { FakeClock } from '../../kit/fake-clock.js'

describe('connectChain', () => {
  const components = { clock: new FakeClock(), random: seededRandom('x'), logger: silentLogger }
  const connect = (endpoint: string) => connectChain(endpoint, components)

  it('takes dev://host:port and opens nothing yet', () => {
    for (const endpoint of ['dev://127.0.0.1:9955', 'dev://localhost:1/', 'dev://[::1]:9955']) {
      assert.ok(connect(endpoint))
    }
  })

  it('takes networks by name and subtensor nodes by address, with a netuid, and opens nothing yet', () => {
    for (const endpoint of ['finney', 'test', 'local', 'ws://127.0.0.1:9944', 'wss://a.example:443,finney']) {
      assert.ok(connectChain(endpoint, components, 1) instanceof SubtensorChain, endpoint)
      assert.throws(() => connect(endpoint), /--netuid is needed/)
    }
  })

  it('refuses anything else and says what there is', () => {
    for (const endpoint of [
      '',
      'mainnet',
      'http://127.0.0.1:9944',
      'finney,http://x',
      'finney,test',
      'ws://x:1#main',
    ]) {
      assert.throws(
        () => connectChain(endpoint, components, 1),
        (error) => isSubnetError(error, 'CONFIG') && error.message.includes('finney, test, local'),
        endpoint,
      )
    }
  })

  it('refuses a devchain endpoint that is malformed', () => {
    const wrong = [
      'dev://',
      'dev://host',
      'dev://host:0',
      'dev://host:99999',
      'dev://host:1/x',
      'dev://a@host:1',
      'dev:host:1',
    ]
    for (const endpoint of wrong) {
      assert.throws(
        () => connect(endpoint),
        (error) => isSubnetError(error, 'CONFIG'),
        endpoint,
      )
    }
  })
})
