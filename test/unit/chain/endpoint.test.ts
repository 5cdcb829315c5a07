import assert from 'node:assert/strict'
import { isSubnetError } from '../../../src/base/errors.js'
import { silentLogger } from '../../../src/base/log.js'
import { seededRandom } from '../../../src/base/random.js'
import { connectChain } from '../../../src/chain/endpoint.js'
import { FakeClock } from '../../kit/fake-clock.js'

describe('connectChain', () => {
  const connect = (endpoint: string) =>
    connectChain(endpoint, { clock: new FakeClock(), random: seededRandom('x'), logger: silentLogger })

  it('takes dev://host:port and opens nothing yet', () => {
    for (const endpoint of ['dev://127.0.0.1:9955', 'dev://localhost:1/', 'dev://[::1]:9955']) {
      assert.ok(connect(endpoint))
    }
  })

  it('refuses other networks and says what is supported', () => {
    for (const endpoint of [
      'finney',
      'local',
      'ws://127.0.0.1:9944',
      'wss://entrypoint-finney.opentensor.ai:443',
      '',
    ]) {
      assert.throws(
        () => connect(endpoint),
        (error) => isSubnetError(error, 'CONFIG') && error.message.includes('dev://host:port'),
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
