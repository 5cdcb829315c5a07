import assert from 'node:assert/strict'
import { isSubnetError } from '../../../src/base/errors.js'
import { nodeAddresses } from '../../../src/config/addresses.js'
import { DEFAULT_LISTEN } from '../../../src/config/defaults.js'
import { resolveConfig } from '../../../src/config/resolve.js'

const addresses = (flags: Readonly<Record<string, string>>) =>
  nodeAddresses(resolveConfig({ flags, environment: {} }))

describe('nodeAddresses', () => {
  it('listens on loopback and announces nothing else when nobody says anything', () => {
    assert.deepEqual(addresses({}), { listen: DEFAULT_LISTEN })
  })

  it('takes multiaddrs as they are', () => {
    const given = { listen: '/ip4/0.0.0.0/tcp/4001', announce: '/dns4/node.example/tcp/4001' }
    assert.deepEqual(addresses(given), given)
  })

  it("takes Bittensor's flags as pasted", () => {
    assert.deepEqual(addresses({ 'axon.port': '8092' }), { listen: '/ip4/0.0.0.0/tcp/8092' })
    assert.deepEqual(addresses({ 'axon.ip': '::1' }), { listen: '/ip6/::1/tcp/8091' })
    assert.deepEqual(addresses({ 'axon.port': '8092', 'axon.external_ip': '203.0.113.5' }), {
      listen: '/ip4/0.0.0.0/tcp/8092',
      announce: '/ip4/203.0.113.5/tcp/8092',
    })
    assert.deepEqual(
      addresses({ 'axon.port': '8092', 'axon.external_ip': '203.0.113.5', 'axon.external_port': '80' })
        .announce,
      '/ip4/203.0.113.5/tcp/80',
    )
  })

  it('refuses two settings that say the same thing, half of one, and an address that is none', () => {
    for (const flags of [
      { listen: '/ip4/0.0.0.0/tcp/1', 'axon.port': '2' },
      { announce: '/ip4/203.0.113.5/tcp/1', 'axon.external_ip': '203.0.113.5' },
      { 'axon.external_port': '2' },
      { 'axon.ip': 'here' },
      { 'axon.external_ip': '/ip4/203.0.113.5' },
    ]) {
      assert.throws(
        () => addresses(flags),
        (error) => isSubnetError(error, 'CONFIG'),
      )
    }
  })
})
