import assert from 'node:assert/strict'
import { isSubnetError, SubnetError } from '../../../../src/base/errors.js'
import { type Logger, silentLogger } from '../../../../src/base/log.js'
import { DiskHealth, type DiskWatchMessage, diskWatch } from '../../../../src/roles/miner/disk-watch.js'
import { FakeClock, turn } from '../../../kit/fake-clock.js'
import { RecordingContext } from '../../../kit/recording-context.js'

const INIT = { intervalMs: 60_000, timeoutMs: 20_000 }

function setUp() {
  const clock = new FakeClock()
  const health = new DiskHealth()
  const told: string[] = []
  const note = (_: unknown, text: string) => told.push(text)
  const logger: Logger = { ...silentLogger, error: note, info: note }
  const disk = { probes: 0, write: async () => {}, read: async () => {}, reopened: 0 }
  const components = {
    health,
    clock,
    logger,
    probeWrites: () => {
      disk.probes += 1
      return disk.write()
    },
    probeReads: () => disk.read(),
    reopen: async () => {
      disk.reopened += 1
    },
  }
  const actor = new RecordingContext<DiskWatchMessage>(diskWatch(components, INIT))
  const pending = () => actor.timers.filter((timer) => timer.pending)
  const look = async () => {
    pending()[0]?.fire()
    await actor.tasks.at(-1)?.run()
  }
  /** As `look`, until the disk has had its time. */
  const lookInVain = async () => {
    const looking = look()
    await turn()
    await clock.advance(20_000)
    await looking
  }
  return { clock, health, told, disk, actor, pending, look, lookInVain }
}

function isUnavailable(error: unknown): error is SubnetError {
  return isSubnetError(error, 'UNAVAILABLE')
}

describe('diskWatch', () => {
  it('refuses with a reason while the disk fails, tells it once, and serves again by itself', async () => {
    const { health, told, disk, look, pending } = setUp()
    await look()
    health.checkWrites()
    disk.write = () => Promise.reject(new SubnetError('DISK', 'EROFS'))
    disk.read = () => Promise.reject(new SubnetError('DISK', 'EIO'))
    await look()
    await look()
    for (const check of ['checkWrites', 'checkReads'] as const)
      assert.throws(
        () => health[check](),
        (error) => isUnavailable(error) && error.retryable && !error.message.includes('EROFS'),
      )
    assert.deepEqual(health.trouble, { refuses: 'everything', reason: 'EROFS; EIO' })
    assert.equal(told.length, 1)
    assert.equal(disk.reopened, 1, 'nothing is opened on a disk that fails')
    disk.write = async () => {}
    disk.read = async () => {}
    await look()
    health.checkWrites()
    assert.deepEqual([told.length, disk.reopened, disk.probes], [2, 2, 4])
    assert.deepEqual(
      pending().map(({ delayMs }) => delayMs),
      [60_000],
    )
  })

  it('takes a disk that hangs for one that fails, and asks it nothing more until it answers', async () => {
    const { health, disk, look, lookInVain } = setUp()
    const answers: (() => void)[] = []
    const hang = () => new Promise<void>((resolve) => answers.push(resolve))
    disk.write = hang
    disk.read = hang
    for (let round = 1; round <= 2; round += 1) {
      await lookInVain()
      assert.equal(health.trouble?.refuses, 'everything')
      assert.match(
        health.trouble.reason,
        /small file took longer than 20000 ms; .*chunk took longer than 20000 ms/,
      )
    }
    assert.equal(answers.length, 2)
    for (const answer of answers) answer()
    await turn()
    disk.write = async () => {}
    disk.read = async () => {}
    await look()
    assert.equal(health.trouble, undefined)
    assert.equal(disk.probes, 2)
  })

  it('takes nothing on a disk that is slow to sync, and goes on reading it; tells both, and when it gets worse', async () => {
    const { health, told, disk, look, lookInVain } = setUp()
    let answer: () => void = () => undefined
    disk.write = () => new Promise((resolve) => (answer = resolve))
    await lookInVain()
    assert.throws(() => health.checkWrites(), isUnavailable)
    health.checkReads()
    assert.equal(health.trouble?.refuses, 'writes')
    assert.match(health.trouble.reason, /syncing.*took longer than 20000 ms/)
    assert.match(told.at(-1) ?? '', /nothing is stored or leased .*; what is held is read and proven/)
    disk.read = () => Promise.reject(new SubnetError('DISK', 'EIO'))
    await lookInVain()
    assert.throws(() => health.checkReads(), isUnavailable)
    assert.match(told.at(-1) ?? '', /nothing is stored, read or proven/)
    disk.read = async () => {}
    await lookInVain()
    health.checkReads()
    assert.equal(told.length, 3)
    answer()
    await turn()
    disk.write = async () => {}
    await look()
    health.checkWrites()
    assert.deepEqual([told.length, disk.reopened], [4, 1])
  })

  it('refuses reads of a disk that does not answer them, but not for one chunk that is not read', async () => {
    const { health, disk, look, lookInVain } = setUp()
    disk.read = () => Promise.reject(new SubnetError('DISK', 'EIO'))
    await look()
    assert.equal(health.trouble, undefined)
    disk.read = () => new Promise(() => undefined)
    await lookInVain()
    assert.throws(() => health.checkReads(), isUnavailable)
  })

  it('looks at once when told to, once for all who ask, and says what it found', async () => {
    const { disk, actor, pending } = setUp()
    disk.write = () => Promise.reject(new SubnetError('DISK', 'EIO'))
    const asked = [actor.ask('works', {}), actor.ask('works', {})]
    actor.send({ type: 'look' })
    assert.equal(actor.tasks.length, 1)
    assert.equal(pending().length, 0)
    await actor.tasks[0]?.run()
    assert.deepEqual(
      asked.map(({ outcome }) => outcome),
      [
        { ok: true, value: false },
        { ok: true, value: false },
      ],
    )
    assert.equal(pending().length, 1)
  })
})
