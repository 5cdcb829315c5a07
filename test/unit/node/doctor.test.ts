import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmod, readdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { silentLogger } from '../../../src/base/log.js'
import { seededRandom } from '../../../src/base/random.js'
import { TIB } from '../../../src/base/units.js'
import { createHotkey, writeColdkeyPub, writeKey } from '../../../src/chain/wallet.js'
import { fromSeed } from '../../../src/crypto/key-material.js'
import { cryptoReady, fromSs58, toSs58 } from '../../../src/crypto/keys.js'
import { claimDataDirectory } from '../../../src/node/data-stamp.js'
import { type DoctorInit, examine } from '../../../src/node/doctor.js'
import type { CheckName, Finding } from '../../../src/node/finding.js'
import { loadOrCreateWallet, ownWallet } from '../../../src/node/node.js'
import { dataLock } from '../../../src/shard/data-lock.js'
import { FakeClock } from '../../kit/fake-clock.js'
import { type TempDir, tempDir } from '../../kit/temp-dir.js'
import { TestSubnet } from '../../kit/test-subnet.js'
import { until } from '../../kit/until.js'

describe('examine', () => {
  let directory: TempDir
  let subnet: TestSubnet
  let clock: FakeClock

  before(cryptoReady)
  beforeEach(async () => {
    directory = await tempDir()
    subnet = new TestSubnet()
    clock = new FakeClock()
    await subnet.set([], 33)
  })
  afterEach(() => directory[Symbol.asyncDispose]())

  /** By check; a block comes while it waits for one, unless the test says no. */
  async function findings(
    change: Partial<DoctorInit> = {},
    wait: () => Promise<unknown> = () => subnet.set([], 34),
  ): Promise<Map<CheckName, Finding>> {
    const init = { role: 'miner' as const, chain: subnet.chain, netuid: 1, listen: '/ip4/127.0.0.1/tcp/0' }
    const components = { clock, random: seededRandom('doctor'), logger: silentLogger }
    let done = false
    const examining = examine(components, { ...init, dataPath: directory.path, ...change }).finally(() => {
      done = true
    })
    await until(() => done || clock.pendingTimers > 0, { deadlineMs: 5_000, title: 'it waits for a block' })
    if (!done) await wait()
    const found = await examining
    for (const { check, state, remedy, code } of found)
      assert.equal(
        state === 'failed',
        (remedy ?? '') !== '' && code !== undefined,
        `${check} says what to do`,
      )
    return new Map(found.map((finding) => [finding.check, finding]))
  }

  const failures = (found: ReadonlyMap<CheckName, Finding>) =>
    [...found.values()].filter(({ state }) => state === 'failed').map(({ check, code }) => `${check} ${code}`)

  /** A data directory as a node leaves it; its hotkey. */
  async function used(genesisHash = subnet.chain.constants.genesisHash): Promise<Uint8Array> {
    const { hotkey } = await loadOrCreateWallet(ownWallet(directory.path), seededRandom('wallet'))
    const address = toSs58(hotkey.publicKey)
    await claimDataDirectory(directory.path, { role: 'miner', hotkey: address, genesisHash })
    return hotkey.publicKey
  }

  it('finds nothing wrong on a machine where no node has run yet, and leaves nothing behind', async () => {
    const path = join(directory.path, 'not', 'there')
    assert.deepEqual(failures(await findings({ dataPath: path })), [])
    assert.deepEqual(await readdir(directory.path), [])
  })

  it('says a hotkey that is not registered, with what to do', async () => {
    await used()
    const found = await findings()
    assert.deepEqual(failures(found), ['registration CHAIN_UNAVAILABLE'])
    assert.match(found.get('registration')?.remedy ?? '', /subnet-node register/)
  })

  it('names the block at which a validator gets its permit', async () => {
    const publicKey = await used()
    const key = { signer: { publicKey }, address: toSs58(publicKey) } as never
    await subnet.set([{ key, stakeRao: 1n }], 33)
    const found = await findings({ role: 'validator' })
    assert.deepEqual(failures(found), ['directory DATA_DIR', 'permit CHAIN_UNAVAILABLE'])
    assert.match(found.get('permit')?.remedy ?? '', /at block 40, now is 33/)
    assert.deepEqual(fromSs58(found.get('hotkey')?.text ?? ''), publicKey)
  })

  it('says a coldkey that lies open, an address that is missing, and weights that are too old', async () => {
    const wallet = { path: join(directory.path, 'wallets'), name: 'w', hotkey: 'h' }
    const random = seededRandom('keys')
    const hotkey = await createHotkey(wallet, { random })
    assert.deepEqual(failures(await findings({ wallet })), [
      'coldkey CONFIG',
      'registration CHAIN_UNAVAILABLE',
    ])
    const cold = fromSeed(random.bytes(32))
    await writeColdkeyPub(wallet, toSs58(cold.signer.publicKey), { random })
    assert.equal((await findings({ wallet })).get('coldkey')?.state, 'ok')
    await writeKey(wallet, 'coldkey', cold, { random })
    const open = await findings({ wallet })
    assert.match(open.get('coldkey')?.text ?? '', /without a password/)
    const { publicKey } = hotkey
    const key = { signer: { publicKey }, address: toSs58(publicKey) } as never
    const at = async (block: number, stakeRao: bigint) => {
      await subnet.set([{ key, stakeRao, validatorPermit: true }], block)
      const found = await findings({ role: 'validator', wallet }, () => subnet.set([], block + 1))
      return failures(found).filter((each) => !each.startsWith('coldkey'))
    }
    assert.deepEqual(await at(1_000, 1n), [])
    assert.deepEqual(await at(1_001, 1n), ['weights CHAIN_UNAVAILABLE'])
    assert.deepEqual(await at(1_000, 0n), ['stake CHAIN_UNAVAILABLE'])
  })

  it('says data of another chain, and the wrong subnet', async () => {
    await used(`0x${'09'.repeat(32)}`)
    assert.deepEqual(failures(await findings({ netuid: 2 })), [
      'subnet CONFIG',
      'genesis DATA_DIR',
      'registration CHAIN_UNAVAILABLE',
    ])
  })

  it('says a port that is taken by somebody else, but not by the node itself', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    assert.ok(typeof address === 'object' && address !== null)
    const listen = `/ip4/127.0.0.1/tcp/${address.port}`
    const dataPath = directory.path
    try {
      assert.deepEqual(failures(await findings({ listen })), ['port CONFIG'])
      await used()
      const lock = dataLock(dataPath)
      await lock.start()
      const found = await findings({ listen }).finally(() => lock.stop())
      assert.match(found.get('port')?.text ?? '', /the node is running/)
      assert.match(found.get('directory')?.text ?? '', /a node is running/)
    } finally {
      server.close()
    }
    assert.deepEqual(failures(await findings({ listen: '/ip4/192.0.2.1/tcp/4001' })), [
      'port CONFIG',
      'registration CHAIN_UNAVAILABLE',
    ])
    assert.equal((await findings({ listen: 'here' })).get('port')?.state, 'failed')
  })

  it('says that no chain answers, and which settings to look at', async () => {
    const found = await findings({ chain: 'dev://127.0.0.1:1' }, () => clock.advance(5_000))
    assert.deepEqual(failures(found), ['chain CHAIN_UNAVAILABLE'])
    assert.match(found.get('chain')?.text ?? '', /nothing at 127.0.0.1:1 within 5 s/)
    assert.match(found.get('chain')?.remedy ?? '', /--subtensor.chain_endpoint/)
  })

  it('says a hotkey file that is torn, and leaves it as it is', async () => {
    const wallet = { path: join(directory.path, 'wallets'), name: 'w', hotkey: 'h' }
    const random = seededRandom('keys')
    await createHotkey(wallet, { random })
    await writeColdkeyPub(wallet, toSs58(fromSeed(random.bytes(32)).signer.publicKey), { random })
    const file = join(wallet.path, 'w', 'hotkeys', 'h')
    await writeFile(file, '{"ss58Ad')
    const found = await findings({ wallet })
    assert.deepEqual(failures(found), ['hotkey CONFIG'])
    assert.match(found.get('hotkey')?.remedy ?? '', /--wallet.hotkey/)
    assert.equal(await readFile(file, 'utf8'), '{"ss58Ad')
  })

  it('says a disk without room for the offer', async () => {
    const found = await findings({ capacityBytes: 2 ** 20 * TIB })
    assert.deepEqual(failures(found), ['disk DISK'])
    assert.match(found.get('disk')?.remedy ?? '', /--capacity/)
  })

  it('says a disk that cannot be written', async function () {
    // Root may write anywhere.
    if (process.getuid?.() === 0) this.skip()
    await chmod(directory.path, 0o500)
    assert.deepEqual(failures(await findings()), ['disk DISK'])
    await chmod(directory.path, 0o700)
  })

  it('says a chain that stands still', async () => {
    const found = await findings({}, () => clock.advance(3_000))
    assert.deepEqual(failures(found), ['blocks CHAIN_UNAVAILABLE'])
  })

  it('says a clock that somebody sets', async () => {
    const nowMs = clock.nowMs.bind(clock)
    const found = await findings({}, async () => {
      clock.nowMs = () => nowMs() + 60_000
      await subnet.set([], 34)
    })
    assert.deepEqual(failures(found), ['clock CONFIG'])
  })
})
