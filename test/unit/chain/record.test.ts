import assert from 'node:assert/strict'
import { multiaddr } from '@multiformats/multiaddr'
import fc from 'fast-check'
import { isSubnetError } from '../../../src/base/errors.js'
import { RECORD_ENDPOINT_BYTES_MAX } from '../../../src/chain/chain.js'
import { decodeEndpoint, encodeEndpoint } from '../../../src/chain/record.js'
import { testRecord } from '../../kit/chain-keys.js'

describe('endpoint of a chain record', () => {
  const invalid = (error: unknown) => isSubnetError(error, 'INVALID')

  it('comes back as it was', () => {
    const rsa = { peerId: 'QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N', address: '/dns4/a.example/tcp/1' }
    for (const record of [testRecord(1), testRecord(2, '/ip6/2001:db8::1/udp/9/quic-v1'), rsa]) {
      assert.deepEqual(decodeEndpoint(encodeEndpoint(record)), record)
    }
  })

  it('comes back in canonical text', () => {
    const bytes = encodeEndpoint(testRecord(1, '/ip6/0:0:0:0:0:0:0:1/tcp/1'))
    assert.equal(decodeEndpoint(bytes).address, '/ip6/::1/tcp/1')
  })

  it('is the raw peer id, then the raw address', () => {
    const bytes = encodeEndpoint(testRecord(1, '/ip4/127.0.0.1/tcp/4001'))
    assert.deepEqual([...bytes.slice(0, 6)], [0, 36, 8, 1, 18, 32])
    assert.deepEqual([...bytes.slice(38)], [4, 127, 0, 0, 1, 6, 0x0f, 0xa1])
  })

  it('may take exactly the bytes there is room for', () => {
    // 38 bytes peer id, 2 in front of the name, 3 of tcp.
    const name = 'n'.repeat(RECORD_ENDPOINT_BYTES_MAX - 38 - 2 - 3)
    assert.equal(encodeEndpoint(testRecord(1, `/dns/${name}/tcp/1`)).length, RECORD_ENDPOINT_BYTES_MAX)
    assert.throws(() => encodeEndpoint(testRecord(1, `/dns/${name}n/tcp/1`)), invalid)
  })

  it('refuses a peer id in another spelling', () => {
    const cid = 'bafzaajaiaejcaf2hp6zhjzqwxwjqkcwa2yijfrckhpsiszsw7hcbvjv3nnjfolle'
    assert.throws(() => encodeEndpoint({ ...testRecord(1), peerId: cid }), invalid)
  })

  it('refuses bytes of a record that could not have been written', () => {
    const peer = encodeEndpoint(testRecord(1)).slice(0, 38)
    const addresses = [
      '/',
      `/ip4/127.0.0.1/tcp/1/p2p/${testRecord(1).peerId}`,
      `/dns/${'n'.repeat(78)}/tcp/1`,
    ]
    for (const address of addresses) {
      const bytes = Uint8Array.from([...peer, ...multiaddr(address).bytes])
      assert.throws(() => decodeEndpoint(bytes), invalid, address)
    }
  })

  it('refuses any other bytes with a typed error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 130 }), (bytes) => {
        assert.throws(() => decodeEndpoint(bytes), invalid)
      }),
    )
  })

  it('refuses a record whose bytes were changed, or gives another record that encodes to them', () => {
    const good = encodeEndpoint(testRecord(1))
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const bytes = good.slice()
        bytes[at] = (bytes[at] ?? 0) ^ flip
        try {
          assert.deepEqual(encodeEndpoint(decodeEndpoint(bytes)), bytes)
        } catch (error) {
          assert.ok(invalid(error))
        }
      }),
    )
  })
})
