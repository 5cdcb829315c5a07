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
  const disk = { probes: 0, probe: async () => {}, reopened: 0 }
  const components = {
    health,
    clock,
    logger,
    probe: () => {
      disk.probes += 1
      return disk.probe()
    },
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
  return { clock, health, told, disk, actor, pending, look }
}

describe('diskWatch', () => {
  it('refuses with a reason while the disk fails, tells it once, and serves again by itself', async () => {
    const { health, told, disk, look, pending } = setUp()
    await look()
    health.check()
    disk.probe = () => Promise.reject(new SubnetError('DISK', 'EROFS'))
    await look()
    await look()
    assert.throws(
      () => health.check(),
      (error) => isSubnetError(error, 'UNAVAILABLE') && error.retryable && !error.message.includes('EROFS'),
    )
    assert.equal(health.trouble, 'EROFS')
    assert.equal(told.length, 1)
    assert.equal(disk.reopened, 1, 'nothing is opened on a disk that fails')
    disk.probe = async () => {}
    await look()
    health.check()
    assert.deepEqual([told.length, disk.reopened, disk.probes], [2, 2, 4])
    assert.deepEqual(
      pending().map(({ delayMs }) => delayMs),
      [60_000],
    )
  })

  it('takes a disk that hangs for one that fails, and asks it nothing more until it answers', async () => {
    const { clock, health, disk, actor, pending } = setUp()
    let answer: () => void = () => undefined
    disk.probe = () => new Promise((resolve) => (answer = resolve))
    for (let round = 1; round <= 2; round += 1) {
      pending()[0]?.fire()
      const looking = actor.tasks.at(-1)?.run()
      await turn()
      await clock.advance(20_000)
      await looking
      assert.match(health.trouble ?? '', /took longer than 20000 ms/)
    }
    assert.equal(disk.probes, 1)
    answer()
    await turn()
    disk.probe = async () => {}
    pending()[0]?.fire()
    await actor.tasks.at(-1)?.run()
    assert.equal(health.trouble, undefined)
    assert.equal(disk.probes, 2)
  })

  it('looks at once when told to, once for all who ask, and says what it found', async () => {
    const { disk, actor, pending } = setUp()
    disk.probe = () => Promise.reject(new SubnetError('DISK', 'EIO'))
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
