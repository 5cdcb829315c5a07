import assert from 'node:assert/strict'
import type { Member } from '../../../../src/chain/subnet-view.js'
import { operatorGroups, publicNetwork } from '../../../../src/roles/validator/operator-groups.js'
import { NO_SCORES } from '../../../kit/test-subnet.js'

function member(hotkey: string, coldkey: string, ...addresses: string[]): Member {
  const neuron = { uid: 0, hotkey, coldkey, stakeRao: 0n, validatorPermit: false, registeredAtBlock: 0 }
  return { ...neuron, ...NO_SCORES, publicKey: new Uint8Array(32), endpoint: { peerId: hotkey, addresses } }
}

/** Sets of hotkeys that share a group, as sorted texts. */
function groupsOf(...members: Member[]): string[] {
  const byGroup = new Map<string, string[]>()
  for (const [hotkey, group] of operatorGroups(members)) {
    byGroup.set(group, [...(byGroup.get(group) ?? []), hotkey])
  }
  return [...byGroup.values()].map((hotkeys) => hotkeys.sort().join('')).sort()
}

describe('operatorGroups', () => {
  it('joins the hotkeys of one coldkey, wherever they are', () => {
    const groups = groupsOf(
      member('a', 'c1', '/ip4/1.2.3.4/tcp/1'),
      member('b', 'c1', '/ip4/9.9.9.9/tcp/1'),
      member('c', 'c2'),
    )
    assert.deepEqual(groups, ['ab', 'c'])
  })

  it('joins two coldkeys of one public /24, and not of two', () => {
    const a = member('a', 'c1', '/ip4/1.2.3.4/tcp/1')
    assert.deepEqual(groupsOf(a, member('b', 'c2', '/ip4/1.2.3.200/udp/1/quic-v1')), ['ab'])
    assert.deepEqual(groupsOf(a, member('b', 'c2', '/ip4/1.2.4.4/tcp/1')), ['a', 'b'])
  })

  it('joins transitively, in whatever order the members come', () => {
    const members = [
      member('a', 'c1', '/ip4/1.1.1.1/tcp/1'),
      member('b', 'c2', '/ip4/1.1.1.2/tcp/1'),
      member('c', 'c2', '/ip4/2.2.2.1/tcp/1'),
      member('d', 'c3', '/ip4/2.2.2.2/tcp/1'),
      member('e', 'c3', '/ip6/2600:1:2::1/tcp/1'),
      member('f', 'c4', '/ip6/2600:1:2:ffff::9/tcp/1'),
      member('g', 'c5', '/ip4/3.3.3.3/tcp/1'),
    ]
    assert.deepEqual(groupsOf(...members), ['abcdef', 'g'])
    assert.deepEqual(groupsOf(...[...members].reverse()), ['abcdef', 'g'])
  })

  it('names a group by its first coldkey, so that the name does not depend on the order', () => {
    const members = [
      member('a', 'zed', '/ip4/1.1.1.1/tcp/1'),
      member('b', 'amy', '/ip4/1.1.1.2/tcp/1'),
      member('c', 'bob', '/ip4/1.1.1.3/tcp/1'),
    ]
    for (const order of [members, [...members].reverse()]) {
      assert.deepEqual(new Set(operatorGroups(order).values()), new Set(['amy']))
    }
  })

  it('does not join neighbours of a private network, nor those without an address', () => {
    const { endpoint: _, ...hidden } = member('c', 'c3')
    const groups = groupsOf(
      member('a', 'c1', '/ip4/127.0.0.1/tcp/1'),
      member('b', 'c2', '/ip4/127.0.0.1/tcp/2'),
      hidden,
    )
    assert.deepEqual(groups, ['a', 'b', 'c'])
  })

  it('joins two whose addresses meet in any of them', () => {
    const a = member('a', 'c1', '/ip4/10.0.0.1/tcp/1', '/ip4/5.5.5.5/tcp/1')
    assert.deepEqual(groupsOf(a, member('b', 'c2', '/ip4/5.5.5.6/tcp/1')), ['ab'])
  })
})

describe('publicNetwork', () => {
  it('is the /24 of a public IPv4 address', () => {
    assert.equal(publicNetwork('/ip4/8.8.4.4/tcp/1'), '8.8.4')
    for (const edge of [
      '9.255.255.255',
      '11.0.0.0',
      '172.15.0.1',
      '172.32.0.1',
      '100.63.0.1',
      '100.128.0.1',
    ]) {
      assert.equal(publicNetwork(`/ip4/${edge}/tcp/1`), edge.split('.').slice(0, 3).join('.'))
    }
  })

  it('is nothing for addresses that are not of the Internet', () => {
    const inside = [
      '0.0.0.0',
      '10.1.2.3',
      '127.0.0.1',
      '100.64.0.1',
      '100.127.0.1',
      '169.254.1.1',
      '172.16.0.1',
    ]
    for (const host of [...inside, '172.31.0.1', '192.168.1.1', '224.0.0.1', '255.255.255.255']) {
      assert.equal(publicNetwork(`/ip4/${host}/tcp/1`), undefined, host)
    }
    for (const host of ['::1', '::', 'fe80::1', 'fc00::1', 'fd12:3456::1', 'ff02::1', '1fff::1', '4000::1']) {
      assert.equal(publicNetwork(`/ip6/${host}/tcp/1`), undefined, host)
    }
  })

  it('is the /48 of a global IPv6 address, however it is written', () => {
    const network = publicNetwork('/ip6/2001:db8:0:1::5/tcp/1')
    assert.ok(network)
    for (const host of ['2001:db8::', '2001:0DB8:0000:ffff:0:0:0:1', '2001:db8:0:1:2:3:4:5']) {
      assert.equal(publicNetwork(`/ip6/${host}/tcp/1`), network, host)
    }
    assert.notEqual(publicNetwork('/ip6/2001:db8:1::5/tcp/1'), network)
  })

  it('is nothing for names and for what is no address', () => {
    for (const text of [
      '/dns4/example.org/tcp/1',
      '/ip4/1.2.3/tcp/1',
      '/ip4/1.2.3.256/tcp/1',
      '/ip6/2001:x::1',
      '',
    ]) {
      assert.equal(publicNetwork(text), undefined, text)
    }
  })
})
