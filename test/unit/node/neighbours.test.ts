import assert from 'node:assert/strict'
import { SubnetError } from '../../../src/base/errors.js'
import { silentLogger } from '../../../src/base/log.js'
import { seededRandom } from '../../../src/base/random.js'
import type { Member } from '../../../src/chain/subnet-view.js'
import type { PeerAddress } from '../../../src/net/net.js'
import { Neighbours } from '../../../src/node/neighbours.js'
import { FakeClock } from '../../kit/fake-clock.js'

function setUp(members: number) {
  const clock = new FakeClock()
  const dialled: string[] = []
  const connected = new Set<string>()
  const gone = new Set<string>()
  const list = Array.from({ length: members }, (_, i) => ({
    endpoint: { peerId: `peer ${i}`, addresses: [] },
  })) as unknown as Member[]
  const net = {
    peerId: 'peer 0',
    async connect({ peerId }: PeerAddress) {
      dialled.push(peerId)
      if (gone.has(peerId)) throw new SubnetError('DISCONNECTED', 'gone')
      connected.add(peerId)
    },
  }
  const view = { members: () => list }
  const random = seededRandom('neighbours')
  const neighbours = new Neighbours({ net, view, clock, random, logger: silentLogger })
  return { clock, dialled, connected, gone, list, neighbours }
}

describe('Neighbours', () => {
  it('connects to six members, not to itself, and leaves them alone for a minute', async () => {
    const { clock, dialled, connected, neighbours } = setUp(20)
    await neighbours.start()
    await clock.advance(59_999)
    assert.equal(dialled.length, 6)
    assert.equal(connected.size, 6)
    assert.ok(!connected.has('peer 0'))
    await clock.advance(1)
    assert.deepEqual([...dialled.slice(6)].sort(), [...connected].sort(), 'the same ones are kept')
    await neighbours.stop()
    assert.equal(clock.pendingTimers, 0)
  })

  it('takes others for those that are gone, at most sixteen in a round', async () => {
    const { clock, dialled, gone, neighbours } = setUp(40)
    for (let i = 1; i < 40; i += 1) gone.add(`peer ${i}`)
    await neighbours.start()
    await clock.advance(9_999)
    assert.equal(dialled.length, 16)
    assert.equal(new Set(dialled).size, 16)
    gone.clear()
    await clock.advance(1)
    assert.equal(dialled.length, 22, 'sooner while some are missing')
    gone.add(dialled.at(-1) ?? '')
    await clock.advance(60_000)
    assert.equal(dialled.length, 29, 'six kept, of which one is replaced')
    await neighbours.stop()
  })

  it('is content with the members there are, and finds those that come later', async () => {
    const { clock, connected, list, neighbours } = setUp(1)
    await neighbours.start()
    await clock.advance(10_000)
    assert.equal(connected.size, 0)
    list.push({ endpoint: { peerId: 'late', addresses: [] } } as unknown as Member)
    await clock.advance(10_000)
    assert.deepEqual([...connected], ['late'])
    await neighbours.stop()
  })

  it('drops who left the subnet', async () => {
    const { clock, dialled, list, neighbours } = setUp(3)
    await neighbours.start()
    await clock.advance(0)
    list.splice(0, list.length)
    assert.equal(await neighbours.meet(), 0)
    assert.equal(dialled.length, 2)
    await neighbours.stop()
  })
})
