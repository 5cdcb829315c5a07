import assert from 'node:assert/strict'
import { Conduct, FAULTS, FAULTS_PAUSE_MS } from '../../../protocols/hello/conduct.js'
import { type ErrorCode, SubnetError } from '../../../src/base/errors.js'
import { FakeClock } from '../../kit/fake-clock.js'

describe('Conduct', () => {
  function setUp(namesMax = 10) {
    const clock = new FakeClock()
    const conduct = new Conduct(clock, namesMax)
    const fail = (names: string[], count: number, code: ErrorCode = 'INVALID', data = {}) => {
      for (let i = 0; i < count; i += 1) conduct.note(names, new SubnetError(code, 'x', { data }))
    }
    return { clock, conduct, fail }
  }

  it('hears a peer that makes a few faults, or one now and then for ever', async () => {
    const { clock, conduct, fail } = setUp()
    fail(['a'], FAULTS.burst)
    for (let i = 0; i < 100; i += 1) {
      await clock.advance(1_000 / FAULTS.perSecond)
      fail(['a'], 1)
    }
    assert.equal(conduct.pauseMs(['a']), 0)
  })

  it('does not hear one that makes more, under its peer id or its key, until the pause is over', async () => {
    const { clock, conduct, fail } = setUp()
    fail(['a', 'key'], FAULTS.burst + 1)
    assert.equal(conduct.pauseMs(['a']), FAULTS_PAUSE_MS)
    assert.equal(conduct.pauseMs(['b', 'key']), FAULTS_PAUSE_MS)
    assert.equal(conduct.pauseMs(['b']), 0)
    await clock.advance(FAULTS_PAUSE_MS - 1)
    assert.equal(conduct.pauseMs(['a', 'key']), 1)
    await clock.advance(1)
    assert.equal(conduct.pauseMs(['a', 'key']), 0)
  })

  it('counts what is the peer\u2019s own doing and nothing else', () => {
    const { conduct, fail } = setUp()
    for (const code of ['INVALID', 'BAD_SIGNATURE', 'MISMATCH'] as const) {
      fail([code], FAULTS.burst + 1, code)
      assert.ok(conduct.pauseMs([code]) > 0, code)
    }
    for (const code of [
      'REFUSED',
      'NO_SPACE',
      'BUSY',
      'NOT_FOUND',
      'TIMEOUT',
      'DISCONNECTED',
      'DISK',
    ] as const) {
      fail([code], 100, code)
      assert.equal(conduct.pauseMs([code]), 0, code)
    }
    fail(['relay'], 100, 'INVALID', { peer: 'a third one' })
    for (let i = 0; i < 100; i += 1) conduct.note(['defect'], new TypeError('ours'))
    assert.equal(conduct.pauseMs(['relay', 'defect']), 0)
  })

  it('remembers a bounded number of names', () => {
    const { conduct, fail } = setUp(2)
    for (const name of ['a', 'b', 'c']) fail([name], FAULTS.burst + 1)
    assert.deepEqual(
      ['a', 'b', 'c'].map((name) => conduct.pauseMs([name]) > 0),
      [false, true, true],
    )
  })
})
