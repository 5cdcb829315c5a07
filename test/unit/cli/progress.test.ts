import assert from 'node:assert/strict'
import { bar } from '../../../src/cli/progress.js'

describe('bar', () => {
  it('always has its cells', () => {
    for (let eighth = -8; eighth <= 96; eighth += 1)
      assert.equal(bar(eighth / 80, 10).length, 10, String(eighth))
  })

  it('fills in eighths', () => {
    assert.deepEqual([bar(0, 4), bar(0.5, 4), bar(0.53125, 4), bar(1, 4)], ['░░░░', '██░░', '██▏░', '████'])
  })
})
