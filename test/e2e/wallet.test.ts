/** Wallets from the command line: what it makes, takes in and refuses to replace. */
import assert from 'node:assert/strict'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type CliResult, cli } from '../kit/cli.js'
import { type TempDir, tempDir } from '../kit/temp-dir.js'

const WORDS = 'bottom drive obey lake curtain smoke basket hold race lonely fit walk'
const BOB = '5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty'
const ALICE = '5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY'

describe('subnet-node wallet', function () {
  this.timeout(60_000)
  let directory: TempDir
  let wallets: string
  beforeEach(async () => {
    directory = await tempDir()
    wallets = join(directory.path, '.bittensor', 'wallets')
  })
  afterEach(() => directory[Symbol.asyncDispose]())

  const wallet = (args: readonly string[], more: { input?: string; env?: Record<string, string> } = {}) =>
    cli(['wallet', ...args], {
      home: directory.path,
      ...(more.input === undefined ? {} : { input: new TextEncoder().encode(more.input) }),
      ...(more.env === undefined ? {} : { env: more.env }),
    })
  const jsonOf = ({ stdout, stderr }: CliResult) => {
    assert.notEqual(stdout.toString(), '', stderr)
    return JSON.parse(stdout.toString())
  }
  function assertFailed(result: CliResult, code: number, pattern: RegExp): void {
    assert.equal(result.code, code, result.stderr)
    assert.equal(result.stdout.toString(), '')
    assert.match(result.stderr, pattern)
  }

  it('makes keys whose words bring back the same addresses', async () => {
    const made = jsonOf(await wallet(['new', '--no-password', '--json', '--words', '24']))
    assert.equal(made.coldkey.mnemonic.split(' ').length, 24)
    const path = join(wallets, 'default')
    assert.deepEqual(await readdir(path), ['coldkey', 'coldkeypub.txt', 'hotkeys'])
    for (const file of ['coldkey', 'coldkeypub.txt', 'hotkeys/default'])
      assert.equal((await stat(join(path, file))).mode & 0o777, 0o600)
    const listed = jsonOf(await wallet(['list', '--json'])).wallets
    assert.deepEqual(listed, [
      {
        name: 'default',
        coldkey: { state: 'plain', address: made.coldkey.address },
        hotkeys: [{ name: 'default', state: 'plain', address: made.hotkey.address }],
      },
    ])
    const again = ['import', '--wallet.name', 'again', '--secret-file', '-', '--json']
    assert.equal(jsonOf(await wallet(again, { input: made.hotkey.mnemonic })).address, made.hotkey.address)
  })

  it('replaces nothing without --overwrite, makes nothing by halves, and says what is there', async () => {
    jsonOf(await wallet(['new', '--hotkey-only', '--json']))
    const path = join(wallets, 'default', 'hotkeys', 'default')
    const before = await readFile(path, 'utf8')
    assertFailed(
      await wallet(['new', '--no-password']),
      78,
      /has a hotkey \(without a password\): nothing was written/,
    )
    await writeFile(path, '')
    assertFailed(await wallet(['new', '--hotkey-only']), 78, /UNUSABLE: empty, torn/)
    assert.equal(await readFile(path, 'utf8'), '')
    assert.deepEqual(await readdir(join(wallets, 'default')), ['hotkeys'])
    const { hotkey } = jsonOf(await wallet(['new', '--hotkey-only', '--overwrite', '--json']))
    const after = JSON.parse(await readFile(path, 'utf8'))
    assert.equal(after.ss58Address, hotkey.address)
    assert.notEqual(before, await readFile(path, 'utf8'))
  })

  it('brings in a secret from a file, an address alone, and no coldkey beside the address of another', async () => {
    const file = join(directory.path, 'secret')
    await writeFile(file, `${WORDS}//Alice\n`)
    const cold = ['import', '--key', 'coldkeypub', '--address', BOB, '--json']
    const [hotkey, coldkeypub] = await Promise.all([
      wallet(['import', '--secret-file', file, '--json']),
      wallet(cold),
    ])
    assert.equal(jsonOf(hotkey).address, ALICE)
    assert.equal(jsonOf(coldkeypub).address, BOB)
    const other = ['import', '--key', 'coldkey', '--secret-file', file, '--no-password']
    const [refused, own] = await Promise.all([
      wallet(other),
      wallet([...other, '--wallet.name', 'own', '--json']),
    ])
    assertFailed(refused, 78, /is of another coldkey/)
    assert.equal(jsonOf(own).address, ALICE)
    const shown = jsonOf(await wallet(['show', '--json']))
    assert.deepEqual(shown.coldkey, { state: 'absent', address: BOB })
    assert.deepEqual(shown.hotkeys, [{ name: 'default', state: 'plain', address: ALICE }])
  })

  it('says what is missing or wrong, without the secret', async () => {
    const input = WORDS.replace('walk', 'wallk')
    const [made, shown, failed] = await Promise.all([
      wallet(['new']),
      wallet(['show']),
      wallet(['import', '--secret-file', '-', '--json'], { input }),
    ])
    assertFailed(made, 78, /--password-file or SUBNET_WALLET_PASSWORD/)
    assertFailed(shown, 66, /wallet new/)
    assertFailed(failed, 65, /"code":"INVALID"/)
    assert.ok(!failed.stderr.includes('bottom'))
    assert.deepEqual(await readdir(directory.path), [])
  })
})
