import assert from 'node:assert/strict'
import { isSubnetError } from '../../../src/base/errors.js'
import { silentLogger } from '../../../src/base/log.js'
import { type Refusal, refused } from '../../../src/chain/devchain/refusals.js'
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

  it('publishes where it is reached, for explorers too, and goes on when the chain will not show them', async () => {
    for (const refusal of [undefined, 'ServingRateLimitExceeded']) {
      const subnet = new TestSubnet()
      await subnet.set([{ key: testHotkey(1) }])
      const calls: unknown[] = []
      Object.assign(subnet.chain, {
        commit: async (_: unknown, record: unknown) => calls.push(record),
        serve: async (_: unknown, axon: unknown) => {
          calls.push(axon)
          if (refusal !== undefined) throw refused(refusal as Refusal)
        },
      })
      const record = { peerId: 'peer', address: '/ip4/203.0.113.5/tcp/4001' }
      const addresses = [`${record.address}/p2p/${record.peerId}`]
      const keeping = member(subnet).keep(() => ({ peerId: record.peerId, addresses }))
      await keeping.start()
      await keeping.stop()
      assert.deepEqual(calls, [record, { ip: '203.0.113.5', port: 4_001 }])
    }
  })

  it('says what to do when no address of the node can be dialled', async () => {
    const subnet = new TestSubnet()
    await subnet.set([{ key: testHotkey(1) }])
    const keeping = member(subnet).keep(() => ({ peerId: 'peer', addresses: [] }))
    await assert.rejects(keeping.start(), (error) => {
      assert.ok(isSubnetError(error, 'CONFIG'))
      assert.match(error.message, /--announce/)
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
