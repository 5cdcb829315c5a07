import assert from 'node:assert/strict'
import { isSubnetError } from '../../../src/base/errors.js'
import { Output } from '../../../src/cli/output.js'
import { waitForBlock, whenAllowed } from '../../../src/cli/plan-run.js'
import { FakeChain, refusal } from '../../kit/fake-chain.js'
import { turn } from '../../kit/fake-clock.js'

describe('waiting for the block from which something is allowed', () => {
  let chain: FakeChain
  let controller: AbortController
  beforeEach(() => {
    chain = new FakeChain()
    controller = new AbortController()
  })
  const waiting = (wait = true) => ({
    chain,
    output: new Output({ json: true, debug: false }),
    wait,
    signal: controller.signal,
  })
  const early = () => refusal({ kind: 'precondition', reason: 'SettingWeightsTooFast', block: 120 })

  it('names the block and how to wait for it, where it does not wait', async () => {
    const work = () => Promise.reject(early())
    await assert.rejects(whenAllowed(waiting(false), work), (error) => {
      assert.ok(isSubnetError(error, 'CHAIN_REFUSED'))
      assert.match(error.message, /--wait waits for block 120/)
      return error.data.block === 120
    })
  })

  it('tries again at the head before that block: the call gets into the next', async () => {
    const heads: number[] = []
    const done = whenAllowed(waiting(), async () => {
      heads.push(chain.block)
      if (heads.length === 1) throw early()
      return 'done'
    })
    await turn()
    chain.advanceTo(118)
    await turn()
    assert.deepEqual(heads, [100])
    chain.advanceTo(119)
    assert.equal(await done, 'done')
    assert.deepEqual(heads, [100, 119])
  })

  it('waits for one block at least, where the block named has come', async () => {
    let over = false
    const done = waitForBlock(waiting(), 90).then(() => {
      over = true
    })
    await turn()
    assert.equal(over, false)
    chain.advanceTo(101)
    await done
  })

  it('does not repeat what no block will allow', async () => {
    const work = () => Promise.reject(refusal({ kind: 'dispatch', reason: 'NotSubnetOwner' }))
    await assert.rejects(whenAllowed(waiting(), work), /NotSubnetOwner/)
  })

  it('ends when it is interrupted', async () => {
    const done = waitForBlock(waiting(), 200)
    await turn()
    controller.abort(new Error('Ctrl-C'))
    await assert.rejects(done, /Ctrl-C/)
  })
})
