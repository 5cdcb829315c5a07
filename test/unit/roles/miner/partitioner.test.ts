import assert from 'node:assert/strict'
import { tmpdir } from 'node:os'
import { isSubnetError, SubnetError } from '../../../../src/base/errors.js'
import { type Logger, silentLogger } from '../../../../src/base/log.js'
import { MIB } from '../../../../src/base/units.js'
import { partitioner, replan } from '../../../../src/roles/miner/partitioner.js'
import type { StakedValidator } from '../../../../src/shard/partition.js'
import { MemoryPartition } from '../../../kit/memory-partition.js'
import { RecordingContext } from '../../../kit/recording-context.js'
import { testChunk } from '../../../kit/test-chunk.js'

const INIT = { path: tmpdir(), threshold: 0, capacityBytes: 100 * MIB, intervalMs: 60_000 }

function setUp() {
  const store = new MemoryPartition()
  const errors: string[] = []
  const logger: Logger = { ...silentLogger, error: (_, text) => errors.push(text) }
  let validators: readonly StakedValidator[] = [
    { hotkey: 'alice', stakeRao: 3n },
    { hotkey: 'bob', stakeRao: 0n },
  ]
  return {
    store,
    errors,
    components: { store, logger, validators: () => validators },
    setValidators: (next: readonly StakedValidator[]) => {
      validators = next
    },
  }
}

describe('replan', () => {
  it('opens a shard for every validator and puts the plan in force', async () => {
    const { store, components } = setUp()
    const plan = await replan(components, INIT)
    assert.equal(store.plan(), plan)
    assert.equal(plan.budgetBytes, 100 * MIB)
    assert.deepEqual(plan.shares, [
      { validator: 'alice', shareBytes: 80 * MIB, drains: false },
      { validator: 'bob', shareBytes: 20 * MIB, drains: false },
    ])
    assert.deepEqual([...store.usage().keys()], ['alice', 'bob'])
  })

  it('writes nothing down when a new plan would move little', async () => {
    const { store, components, setValidators } = setUp()
    const plan = await replan(components, INIT)
    setValidators([
      { hotkey: 'alice', stakeRao: 300n },
      { hotkey: 'bob', stakeRao: 74n },
    ])
    assert.equal(await replan(components, INIT), plan)
    assert.equal(store.plansWritten, 1)
  })

  it('lets the shard of a validator that is gone drain with what it holds', async () => {
    const { store, components, setValidators } = setUp()
    await replan(components, INIT)
    await store.get('bob')?.put(testChunk(1, 100))
    setValidators([{ hotkey: 'alice', stakeRao: 3n }])
    assert.deepEqual((await replan(components, INIT)).shares, [
      { validator: 'alice', shareBytes: 99 * MIB, drains: false },
      { validator: 'bob', shareBytes: MIB, drains: true },
    ])
  })

  it('makes a plan for the others when one shard does not open, and tells the operator', async () => {
    const { store, components, errors } = setUp()
    store.broken.add('bob')
    await replan(components, INIT)
    assert.deepEqual(store.plan()?.shares.length, 2)
    assert.deepEqual([...store.usage().keys()], ['alice'])
    assert.equal(errors.length, 1)
  })

  it('keeps the plan in force when the disk cannot be asked', async () => {
    const { store, components } = setUp()
    const plan = await replan(components, INIT)
    await assert.rejects(replan(components, { ...INIT, path: '/nowhere' }))
    assert.equal(store.plan(), plan)
  })

  it('keeps the plan in force when the new one cannot be written', async () => {
    const { store, components, setValidators } = setUp()
    const plan = await replan(components, INIT)
    store.setPlan = async () => {
      throw new SubnetError('DISK', 'no')
    }
    setValidators([{ hotkey: 'bob', stakeRao: 0n }])
    await assert.rejects(replan(components, INIT), (error) => isSubnetError(error, 'DISK'))
    assert.equal(store.plan(), plan)
  })
})

describe('partitioner', () => {
  const pending = (context: RecordingContext<{ readonly type: 'replan' }>) =>
    context.timers.filter((timer) => timer.pending)

  it('looks again after every interval', async () => {
    const { store, components } = setUp()
    const actor = new RecordingContext(partitioner(components, INIT))
    for (let round = 1; round <= 2; round += 1) {
      const [timer] = pending(actor)
      assert.equal(timer?.delayMs, 60_000)
      timer?.fire()
      assert.deepEqual(pending(actor), [], 'no look is due while one goes on')
      await actor.tasks.at(-1)?.run()
      assert.equal(pending(actor).length, 1)
    }
    assert.equal(actor.tasks.length, 2)
    assert.equal(store.plansWritten, 1)
  })

  it('looks at once when told to, and an interval after that', async () => {
    const { components } = setUp()
    const actor = new RecordingContext(partitioner(components, INIT))
    actor.send({ type: 'replan' })
    assert.equal(actor.tasks.length, 1)
    assert.deepEqual(pending(actor), [])
    await actor.tasks[0]?.run()
    assert.equal(pending(actor).length, 1)
  })

  it('keeps the old plan when planning fails, tells the operator, and tries again', async () => {
    const { store, components, errors } = setUp()
    const plan = await replan(components, INIT)
    const actor = new RecordingContext(partitioner(components, INIT))
    actor.send({ type: 'replan' })
    actor.tasks[0]?.fail(new SubnetError('DISK', 'no'))
    assert.equal(store.plan(), plan)
    assert.equal(errors.length, 1)
    assert.equal(pending(actor).length, 1)
  })
})
