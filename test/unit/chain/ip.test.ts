import assert from 'node:assert/strict'
import fc from 'fast-check'
import { isSubnetError } from '../../../src/base/errors.js'
import { ipToBytes, ipToText } from '../../../src/chain/ip.js'

describe('addresses of axons', () => {
  it('come back in one text', () => {
    for (const text of [
      '1.2.3.4',
      '255.255.255.255',
      '::',
      '::1',
      '2001:db8::8:800:200c:417a',
      'fe80::1:0:0:1',
    ]) {
      assert.equal(ipToText(ipToBytes(text)), text)
    }
    assert.equal(ipToText(ipToBytes('2001:DB8:0:0::0001')), '2001:db8::1')
    assert.deepEqual(ipToBytes('::ffff:1.2.3.4').slice(10), Uint8Array.of(255, 255, 1, 2, 3, 4))
  })

  it('have a text for any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        assert.deepEqual(ipToBytes(ipToText(bytes)), bytes)
      }),
    )
  })

  it('are refused in any other form', () => {
    for (const text of ['', '1.2.3', '01.2.3.4', 'host', 'fe80::1%eth0', '[::1]', ':::', '1.2.3.4:5']) {
      assert.throws(
        () => ipToBytes(text),
        (error) => isSubnetError(error, 'INVALID'),
        text,
      )
    }
    assert.throws(
      () => ipToText(new Uint8Array(5)),
      (error) => isSubnetError(error, 'INVALID'),
    )
  })
})
