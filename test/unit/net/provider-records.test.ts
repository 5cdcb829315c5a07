import assert from 'node:assert/strict'
import { peerIdFromPrivateKey, peerIdFromString } from '@libp2p/peer-id'
import { systemClock } from '../../../src/base/clock.js'
import { sha256 } from '../../../src/crypto/hash.js'
import type { Duplex } from '../../../src/net/duplex.js'
import { privateKeyOf } from '../../../src/net/libp2p-config.js'
import { cidOf } from '../../../src/net/libp2p-dht.js'
import type { PeerAddress } from '../../../src/net/net.js'
import { ProviderRecords } from '../../../src/net/provider-records.js'
import { duplexPair } from '../../kit/duplex-pair.js'
import { FakeClock } from '../../kit/fake-clock.js'
import { testId } from '../../kit/test-chunk.js'

const NEAREST = 20
const ADDRESS = '/ip4/10.0.0.1/tcp/4001'
const REST_MS = 600_000

const member = (number: number): PeerAddress => ({
  peerId: peerIdFromPrivateKey(privateKeyOf(testId(32, number))).toString(),
  addresses: [],
})
const members = (count: number) => Array.from({ length: count }, (_, number) => member(number + 1))

/** The 20 nearest by the whole XOR distance of Kademlia. */
function nearestTo(digest: Uint8Array, peers: readonly PeerAddress[]): string[] {
  const key = BigInt(`0x${Buffer.from(sha256(cidOf(digest).multihash.bytes)).toString('hex')}`)
  const far = (peerId: string) =>
    BigInt(`0x${Buffer.from(sha256(peerIdFromString(peerId).toMultihash().bytes)).toString('hex')}`) ^ key
  return peers
    .map(({ peerId }) => peerId)
    .sort((a, b) => (far(a) < far(b) ? -1 : 1))
    .slice(0, NEAREST)
}

/** Members that keep what they are told; those of `gone` cannot be reached. */
function setUp(gone: ReadonlySet<string> = new Set(), clock = new FakeClock()) {
  const told = new Map<string, Uint8Array[]>()
  const dialled: string[] = []
  const open = async ({ peerId }: PeerAddress): Promise<Duplex> => {
    dialled.push(peerId)
    if (gone.has(peerId)) throw new Error('gone')
    const [near, far] = duplexPair({ peers: ['self', peerId] })
    void (async () => {
      const pieces: Uint8Array[] = []
      for (let piece = await far.read(); piece !== undefined; piece = await far.read()) pieces.push(piece)
      told.set(peerId, [...(told.get(peerId) ?? []), Buffer.concat(pieces)])
      await far.closeWrite()
    })()
    return near
  }
  const self = peerIdFromString(member(0).peerId)
  const records = new ProviderRecords({ clock, open }, self)
  const tell = (digests: readonly Uint8Array[], peers: readonly PeerAddress[]) =>
    records.tell(digests, peers, [ADDRESS], {})
  return { told, dialled, tell, clock }
}

describe('provider records', () => {
  it('tells the 20 nearest members of each digest, each member on one stream', async () => {
    const { told, dialled, tell } = setUp()
    const peers = members(60)
    const digests = [sha256(testId(16, 1)), sha256(testId(16, 2)), sha256(testId(16, 3))]
    assert.deepEqual(await tell(digests, [member(0), ...peers]), [])
    const expected = new Map<string, number>()
    for (const digest of digests)
      for (const peerId of nearestTo(digest, peers)) expected.set(peerId, (expected.get(peerId) ?? 0) + 1)
    assert.deepEqual([...told.keys()].sort(), [...expected.keys()].sort())
    assert.equal(dialled.length, expected.size)
    const [lengthBytes] = [...told.values()]
      .flat()
      .map(({ length }) => length)
      .sort((a, b) => a - b)
    for (const [peerId, streams] of told)
      assert.equal(streams[0]?.length, (lengthBytes as number) * (expected.get(peerId) as number))
  })

  it('speaks as the specification of the DHT has it', async () => {
    const { told, tell } = setUp()
    const digest = sha256(testId(16, 1))
    await tell([digest], members(1))
    const self = Buffer.from(peerIdFromString(member(0).peerId).toMultihash().bytes).toString('hex')
    const key = `12221220${Buffer.from(digest).toString('hex')}`
    // One address of 8 bytes: ip4 10.0.0.1, tcp 4001.
    const provider = `0a26${self}1208040a000001060fa1`
    assert.equal(
      Buffer.from(told.get(member(1).peerId)?.[0] as Uint8Array).toString('hex'),
      `5a0802${key}4a32${provider}`,
    )
  })

  it('takes the next nearest for one that cannot be reached, and lets that one rest', async () => {
    const peers = members(40)
    const digest = sha256(testId(16, 1))
    const gone = new Set(nearestTo(digest, peers).slice(0, 3))
    const { told, dialled, tell, clock } = setUp(gone)
    assert.deepEqual(await tell([digest], peers), [])
    const alive = nearestTo(
      digest,
      peers.filter(({ peerId }) => !gone.has(peerId)),
    )
    assert.deepEqual([...told.keys()].sort(), alive.sort())
    const isTried = () => dialled.splice(0).some((peerId) => gone.has(peerId))
    assert.equal(isTried(), true)
    await tell([digest], peers)
    assert.equal(isTried(), false)
    await clock.advance(REST_MS)
    await tell([digest], peers)
    assert.equal(isTried(), true)
  })

  it('gives back what nobody took, and tries those that rest when there is nobody else', async () => {
    const gone = new Set([member(1).peerId])
    const { dialled, tell } = setUp(gone)
    const digest = sha256(testId(16, 1))
    assert.deepEqual(await tell([digest], members(1)), [digest])
    gone.clear()
    assert.deepEqual(await tell([digest], members(1)), [])
    assert.equal(dialled.length, 2)
  })

  it('rejects with the reason of the signal', async () => {
    const reason = new Error('no patience')
    const silent: Duplex = duplexPair({ peers: ['self', 'silent'] })[0]
    const controller = new AbortController()
    const records = new ProviderRecords(
      {
        clock: systemClock,
        open: async () => {
          queueMicrotask(() => controller.abort(reason))
          return silent
        },
      },
      peerIdFromString(member(0).peerId),
    )
    const telling = records.tell([testId(32, 1)], members(1), [ADDRESS], { signal: controller.signal })
    await assert.rejects(telling, reason)
  })
})
