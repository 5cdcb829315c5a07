import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { isSubnetError } from '../../../src/base/errors.js'
import { Prompt } from '../../../src/cli/prompt.js'

/** A terminal as far as a prompt can tell. */
function terminal(): {
  readonly input: PassThrough
  readonly output: PassThrough
  readonly shown: () => string
} {
  const [input, output] = [new PassThrough(), new PassThrough()]
  for (const stream of [input, output]) Object.assign(stream, { isTTY: true, setRawMode: () => stream })
  let text = ''
  output.on('data', (chunk: Buffer) => {
    text += chunk.toString()
  })
  return { input, output, shown: () => text }
}

describe('prompt', () => {
  it('does not show a secret, and gives it whole', async () => {
    const { input, output, shown } = terminal()
    const answer = new Prompt({ input, output }).secret('password')
    input.write('correct horse\r')
    assert.equal(await answer, 'correct horse')
    assert.equal(shown(), 'password: \n')
  })

  it('takes nothing but a yes as one', async () => {
    for (const [typed, expected] of [
      ['y', true],
      ['YES', true],
      ['', false],
      ['n', false],
      ['yeah', false],
    ] as const) {
      // biome-ignore format: pairs
      const { input, output } = terminal()
      const answer = new Prompt({ input, output }).confirm('Do that?')
      input.write(`${typed}\n`)
      assert.equal(await answer, expected, typed)
    }
  })

  it('ends without an answer at Ctrl-C and at the end of the input', async () => {
    for (const typed of ['abc\u0003', undefined]) {
      const { input, output } = terminal()
      const answer = new Prompt({ input, output }).secret('password')
      if (typed === undefined) input.end()
      else input.write(typed)
      await assert.rejects(answer, (error) => isSubnetError(error, 'STOPPED'))
    }
  })

  it('asks nobody where there is no terminal', () => {
    const { input } = terminal()
    assert.equal(new Prompt({ input, output: new PassThrough() }).interactive, false)
    assert.equal(new Prompt(terminal()).interactive, true)
  })
})
