import assert from 'node:assert/strict'
import { isSubnetError } from '../../../../src/base/errors.js'
import { axonOf, ipNumber } from '../../../../src/chain/subtensor/axon.js'

describe('axon addresses', () => {
  const known: readonly (readonly [ip: string, number: bigint, ipType: number])[] = [
    ['10.1.2.3', 0x0a010203n, 4],
    ['255.255.255.255', 0xffffffffn, 4],
    ['::1', 1n, 6],
    ['2001:db8::8a2e:370:7334', 0x20010db80000000000008a2e03707334n, 6],
    ['1:2:3:4:5:6:7:8', 0x00010002000300040005000600070008n, 6],
  ]
  for (const [ip, number, ipType] of known) {
    it(`is ${ip} there and back`, () => {
      assert.deepEqual(ipNumber({ ip, port: 1 }), { ip: number, ipType })
      assert.deepEqual(axonOf(number, ipType, 1), { ip, port: 1 })
    })
  }

  it('reads every way to write an address', () => {
    assert.deepEqual(ipNumber({ ip: '::ffff:1.2.3.4', port: 1 }), { ip: 0xffff01020304n, ipType: 6 })
    assert.deepEqual(ipNumber({ ip: '0:0:0:0:0:0:0:1', port: 1 }), { ip: 1n, ipType: 6 })
  })

  it('refuses what is no address or port', () => {
    for (const axon of [
      { ip: 'example.org', port: 1 },
      { ip: 'fe80::1%eth0', port: 1 },
      { ip: '1.2.3.4', port: -1 },
      { ip: '1.2.3.4', port: 65_536 },
    ])
      assert.throws(
        () => ipNumber(axon),
        (error) => isSubnetError(error, 'INVALID'),
      )
  })

  it('is nothing where nobody can be reached', () => {
    assert.equal(axonOf(0n, 4, 1), undefined)
    assert.equal(axonOf(1n, 4, 0), undefined)
    assert.equal(axonOf(2n ** 40n, 4, 1), undefined)
    assert.equal(axonOf(1n, 5, 1), undefined)
  })
})
