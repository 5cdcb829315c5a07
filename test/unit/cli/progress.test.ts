import assert from 'node:assert/strict'
import { LiveLine } from '../../../src/cli/live-line.js'
import { bar, progressText } from '../../../src/cli/progress.js'

describe('bar', () => {
  it('always has its cells', () => {
    for (let eighth = -8; eighth <= 96; eighth += 1)
      assert.equal(bar(eighth / 80, 10).length, 10, String(eighth))
  })

  it('fills in eighths', () => {
    assert.deepEqual([bar(0, 4), bar(0.5, 4), bar(0.53125, 4), bar(1, 4)], ['░░░░', '██░░', '██▏░', '████'])
  })
})

describe('progressText', () => {
  const half = { doneBytes: 512, totalBytes: 1024, peers: 14, retries: 0 }

  it('takes the bar that the terminal has room for', () => {
    assert.equal(
      progressText('storing', half, 512, 79),
      `storing ${'█'.repeat(12)}${'░'.repeat(12)} 50%  512 B/s  1.0 s left  14 peers`,
    )
    assert.equal(progressText('storing', half, 512, 50).length, 50)
    assert.equal(progressText('storing', half, 512, 44), 'storing 50%  512 B/s  1.0 s left  14 peers')
  })

  it('says what it knows of a pipe', () => {
    assert.equal(
      progressText('storing', { doneBytes: 512, peers: 1, retries: 2 }, 512, 79),
      'storing 512 B  512 B/s  1 peers, 2 retries',
    )
  })
})

describe('LiveLine', () => {
  const terminal = (columns: number | undefined, isTTY = true) => {
    const written: string[] = []
    const write = (text: string | Uint8Array) => written.push(String(text)) > 0
    return { written, line: new LiveLine({ isTTY, columns: columns as number, write }) }
  }

  it('draws within the terminal, and clears once what it drew', () => {
    const { written, line } = terminal(10)
    line.clear()
    line.draw('0123456789')
    line.draw('░░')
    line.clear()
    line.clear()
    assert.deepEqual(written, ['\r\u001b[2K012345678', '\r\u001b[2K░░', '\r\u001b[2K'])
    assert.equal(terminal(0).line.columns, 79, 'one that does not say')
  })

  it('draws nothing where there is no terminal', () => {
    const { written, line } = terminal(undefined, false)
    line.draw('text')
    line.clear()
    assert.deepEqual(written, [])
  })
})
