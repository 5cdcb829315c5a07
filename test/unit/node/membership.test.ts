import assert from 'node:assert/strict'
import { isSubnetError } from '../../../src/base/errors.js'
import { silentLogger } from '../../../src/base/log.js'
import { cryptoReady } from '../../../src/crypto/keys.js'
import { Membership } from '../../../src/node/membership.js'
import { testColdkey, testHotkey } from '../../kit/chain-keys.js'
import { TestSubnet } from '../../kit/test-subnet.js'

describe('Membership on a chain without a faucet', () => {
  before(() => cryptoReady())

  function member(subnet: TestSubnet): Membership {
    const { chain, view } = subnet
    const init = { role: 'validator', hotkey: testHotkey(1).signer, coldkey: testColdkey(1).address } as const
    return new Membership({ chain, view, logger: silentLogger }, init)
  }

  it('says how to register, and spends nothing', async () => {
    const subnet = new TestSubnet()
    await assert.rejects(member(subnet).join(), (error) => {
      assert.ok(isSubnetError(error, 'CHAIN_REFUSED'))
      assert.deepEqual([error.data.kind, error.data.reason], ['precondition', 'HotKeyNotRegisteredInSubNet'])
      assert.match(error.message, /subnet-node register/)
      return true
    })
  })

  it('takes the uid that a registered hotkey has, staked or not', async () => {
    const subnet = new TestSubnet()
    await subnet.set([{ key: testHotkey(2) }, { key: testHotkey(1) }])
    const own = member(subnet)
    await own.join()
    assert.equal(own.uid, 1)
  })
})
