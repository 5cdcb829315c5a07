/** Words on the command line that are wrong: what a person and a program are told of them. */
import assert from 'node:assert/strict'
import { type CliResult, cli } from '../kit/cli.js'
import { type TempDir, tempDir } from '../kit/temp-dir.js'

describe('subnet-node: wrong words', function () {
  this.timeout(60_000)
  let directory: TempDir
  before(async () => {
    directory = await tempDir()
  })
  after(() => directory[Symbol.asyncDispose]())
  const run = (...args: readonly string[]): Promise<CliResult> => cli(args, { home: directory.path })

  const cases: readonly (readonly [what: string, args: readonly string[], says: RegExp])[] = [
    ['a command, and guesses', ['puut'], /unknown command 'puut'\n\(Did you mean put\?\)/],
    ['a command that is like none', ['nonsense'], /unknown command .*\n\(subnet-node --help lists them\)/],
    ['an option, and guesses', ['put', 'x', '--profil', 'y'], /'--profil'\n\(Did you mean --profile\?\)/],
    ['the value of an option', ['put', 'x', '--lease-blocks', '1e3'], /'--lease-blocks <n>' .*'1e3'.* 1 to/],
    ['a range', ['get', 'x', '--range', '9-3'], /'--range <start-end>' .* no range of bytes/],
    ['an amount', ['stake', 'much'], /'much'.* no amount of TAO/],
    // They would be a node's, and the command would go to another network than the one that was named.
    [
      'an option before the command',
      ['--netuid', '7', 'ls'],
      /options come after the command: subnet-node ls/,
    ],
  ]
  for (const [what, args, says] of cases) {
    it(`names ${what}, for people and as JSON, and ends with 64`, async () => {
      const [told, json] = await Promise.all([run(...args), run(...args, '--json')])
      assert.deepEqual([told.code, json.code], [64, 64])
      assert.match(told.stderr, says)
      const { error } = JSON.parse(json.stderr)
      assert.equal(error.code, 'USAGE')
      assert.match(error.message, says)
      assert.equal(told.stdout.toString() + json.stdout.toString(), '')
    })
  }

  it('guesses a setting of a few words', async () => {
    const { code, stderr } = await run('status', '--subtensor.network', 'finey')
    assert.equal(code, 78)
    assert.match(stderr, /--subtensor\.network: .*; did you mean finney\?/)
  })

  it('says that the file of a drill is not there before a network starts', async () => {
    const { code, stdout, stderr } = await run('devnet', '--drill', '--file', '/nowhere', '--json')
    assert.deepEqual([code, stdout.toString()], [66, ''])
    assert.equal(JSON.parse(stderr).error.code, 'NOT_FOUND')
  })

  it('has one JSON document for a call without words', async () => {
    const { code, stderr } = await run('--json')
    assert.equal(code, 64)
    assert.equal(JSON.parse(stderr).error.code, 'USAGE')
  })

  it('explains a command by `help` as by `--help`', async () => {
    const [word, flag] = await Promise.all([run('help', 'put'), run('put', '--help')])
    assert.deepEqual([word.code, flag.code], [0, 0])
    assert.equal(word.stdout.toString(), flag.stdout.toString())
    assert.doesNotMatch(word.stdout.toString(), /default: false/)
  })
})
