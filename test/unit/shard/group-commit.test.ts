import assert from 'node:assert/strict'
import { isSubnetError } from '../../../src/base/errors.js'
import { GroupCommit, type Job } from '../../../src/shard/group-commit.js'

interface NamedJob extends Job {
  readonly name: string
}

const job = (name: string, costBytes = 1): NamedJob => ({ name, costBytes })

/** Groups as they were committed; each waits for its turn to end. */
function recorded(init: { groupBytesMax?: number; waitingBytesMax?: number } = {}) {
  const groups: string[][] = []
  const ends: (() => void)[] = []
  const commits = new GroupCommit<NamedJob>(
    async (group) => {
      groups.push(group.map(({ name }) => name))
      await new Promise<void>((resolve) => ends.push(resolve))
      return async () =>
        group.map(({ name }) =>
          name === 'bad'
            ? { status: 'rejected' as const, reason: new Error('bad job') }
            : { status: 'fulfilled' as const, value: `${name} done` },
        )
    },
    { groupBytesMax: 100, waitingBytesMax: 100, overlapBytes: 1_000, ...init },
  )
  const endGroup = async () => {
    await turn()
    ends.shift()?.()
    await turn()
  }
  return { groups, commits, endGroup }
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

describe('GroupCommit', () => {
  it('commits together what was asked for together, and what came meanwhile in the next group', async () => {
    const { groups, commits, endGroup } = recorded()
    const first = [commits.run(job('a')), commits.run(job('b'))]
    await turn()
    const second = [commits.run(job('c')), commits.run(job('d'))]
    await turn()
    assert.deepEqual(groups, [['a', 'b']])
    await endGroup()
    assert.deepEqual(await Promise.all(first), ['a done', 'b done'])
    assert.deepEqual(groups, [
      ['a', 'b'],
      ['c', 'd'],
    ])
    await endGroup()
    assert.deepEqual(await Promise.all(second), ['c done', 'd done'])
  })

  it('begins a group while the one before ends, and ends them in order', async () => {
    const steps: string[] = []
    const ends = new Map<string, () => void>()
    const commits = new GroupCommit<NamedJob>(
      async ([only]) => {
        const name = only?.name ?? ''
        steps.push(`begin ${name}`)
        if (name === 'unbegun') throw new Error(name)
        return async () => {
          steps.push(`end ${name}`)
          await new Promise<void>((resolve) => ends.set(name, resolve))
          if (name === 'unended') throw new Error(name)
          return [{ status: 'fulfilled', value: name }]
        }
      },
      { groupBytesMax: 1, waitingBytesMax: 100, overlapBytes: 1 },
    )
    const outcomes = Promise.allSettled(
      ['a', 'unbegun', 'unended', 'b'].map((name) => commits.run(job(name))),
    )
    await turn()
    assert.deepEqual(steps, ['begin a', 'end a', 'begin unbegun'], 'no third beside two')
    for (const name of ['a', 'unended', 'b']) {
      await turn()
      ends.get(name)?.()
    }
    const settled = (await outcomes).map((one) =>
      one.status === 'fulfilled' ? one.value : one.reason.message,
    )
    assert.deepEqual(settled, ['a', 'unbegun', 'unended', 'b'])
    assert.deepEqual(steps.slice(3), ['begin unended', 'end unended', 'begin b', 'end b'])
    await commits.idle()
  })

  it('settles each job by its own result', async () => {
    const { commits, endGroup } = recorded()
    const results = Promise.allSettled([
      commits.run(job('a')),
      commits.run(job('bad')),
      commits.run(job('c')),
    ])
    await endGroup()
    assert.deepEqual(
      (await results).map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled'],
    )
  })

  it('rejects a whole group whose commit fails, and goes on with the next', async () => {
    let failures = 1
    const commits = new GroupCommit<NamedJob>(
      async (group) => {
        if (failures-- > 0) throw new Error('no disk')
        return async () => group.map(() => ({ status: 'fulfilled', value: undefined }))
      },
      { groupBytesMax: 10, waitingBytesMax: 10, overlapBytes: 10 },
    )
    await assert.rejects(commits.run(job('a')), /no disk/)
    await commits.run(job('b'))
  })

  it('closes a group before it grows too large, but takes any single job', async () => {
    const { groups, commits, endGroup } = recorded({ groupBytesMax: 10, waitingBytesMax: 1_000 })
    const work = Promise.all([commits.run(job('a', 50)), commits.run(job('b', 6)), commits.run(job('c', 5))])
    await endGroup()
    await endGroup()
    await endGroup()
    await work
    assert.deepEqual(groups, [['a'], ['b'], ['c']])
  })

  it('refuses with BUSY what would wait behind too much', async () => {
    const { commits, endGroup } = recorded({ waitingBytesMax: 10 })
    const running = commits.run(job('a', 8))
    await turn()
    const waiting = commits.run(job('b', 8))
    await assert.rejects(commits.run(job('c', 8)), (error) => isSubnetError(error, 'BUSY'))
    await endGroup()
    await endGroup()
    await Promise.all([running, waiting])
  })

  it('is idle when nothing runs or waits', async () => {
    const { commits, endGroup } = recorded()
    await commits.idle()
    let idle = false
    const work = commits.run(job('a'))
    const waiting = commits.idle().then(() => {
      idle = true
    })
    await turn()
    assert.equal(idle, false)
    await endGroup()
    await Promise.all([work, waiting])
  })
})
