/** `subnet-node wallet new|list|show|import|faucet`: Bittensor's wallets, made, looked at and brought in. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text as streamText } from 'node:stream/consumers'
import { type Command, Option } from 'commander'
import { SubnetError } from '../../base/errors.js'
import { systemRandom } from '../../base/random.js'
import { formatTao, parseTao } from '../../base/units.js'
import {
  describeWallet,
  type KeyEntry,
  type KeyKind,
  listWallets,
  type WalletEntry,
  type WalletLocation,
  writeColdkeyPub,
  writeKey,
} from '../../chain/wallet.js'
import {
  fromPhrase,
  fromSecretText,
  type KeyMaterial,
  newPhrase,
  type PhraseWords,
} from '../../crypto/key-material.js'
import { cryptoReady, toSs58 } from '../../crypto/keys.js'
import { addChainOptions, withChain } from '../chain-session.js'
import {
  addOutputOptions,
  addSettings,
  asWord,
  commandConfig,
  type OutputOptions,
  wholeNumber,
} from '../options.js'
import { Output } from '../output.js'
import { Prompt } from '../prompt.js'
import {
  addPasswordOption,
  newPassword,
  type PasswordOptions,
  unlock,
  WALLET_SETTINGS,
  walletLocation,
} from '../wallet-session.js'

interface WriteOptions extends OutputOptions, PasswordOptions {
  readonly overwrite: boolean
  /** `--no-password`: the coldkey lies open. */
  readonly password: boolean
}

interface NewOptions extends WriteOptions {
  readonly words: number
  readonly hotkeyOnly: boolean
}

interface ImportOptions extends WriteOptions {
  readonly key: KeyKind | 'coldkeypub'
  readonly secretFile?: string
  readonly address?: string
}

const components = { random: systemRandom }
const STATES = {
  absent: 'not here',
  plain: 'without a password',
  encrypted: 'encrypted',
  unusable: 'UNUSABLE: empty, torn or of an old form',
} as const

export function addWallet(program: Command): void {
  const group = program.command('wallet').description("Bittensor's wallets: make, look at and import keys")
  const make = group
    .command('new')
    .description('make a coldkey and a hotkey; their words are shown once')
    .option('--words <n>', 'words of each mnemonic, 12 or 24', wholeNumber(12, 24), 12)
    .option('--hotkey-only', 'only a hotkey, in a wallet that may have its coldkey elsewhere', false)
    .action(makeWallet)
  const bring = group
    .command('import')
    .description('bring in a key: words, a seed or a private key, asked for or from a file')
    .addOption(
      new Option('--key <which>', 'what it is')
        .choices(['coldkey', 'hotkey', 'coldkeypub'])
        .default('hotkey'),
    )
    .option('--secret-file <path>', 'file with the secret, or - for standard input')
    .option('--address <ss58>', 'with --key coldkeypub: the address of a coldkey that stays elsewhere')
    .action(importKey)
  for (const command of [make, bring]) {
    command
      .option('--overwrite', 'replace what is there; what it owned is lost unless you have its words', false)
      .option('--no-password', 'leave the coldkey unencrypted: whoever reads this disk can spend it')
    addPasswordOption(command)
  }
  const list = group.command('list').description('show every wallet').action(listAll)
  const show = group.command('show').description('show one wallet and where its files are').action(showWallet)
  for (const command of [make, bring, show]) addSettings(command, WALLET_SETTINGS)
  addSettings(list, ['wallet.path'])
  for (const command of [make, bring, list, show]) addOutputOptions(command)
  const faucet = group
    .command('faucet')
    .description('devchain only: have the faucet pay the coldkey')
    .argument('<tao>', 'how much', asWord(parseTao))
    .action(drawFaucet)
  addPasswordOption(faucet)
  addChainOptions(faucet, WALLET_SETTINGS)
}

async function makeWallet(options: NewOptions): Promise<void> {
  const location = walletLocation(await commandConfig(options))
  const { words } = options
  if (words !== 12 && words !== 24) throw new SubnetError('CONFIG', 'a mnemonic here has 12 or 24 words')
  await cryptoReady()
  const kinds: readonly KeyKind[] = options.hotkeyOnly ? ['hotkey'] : ['coldkey', 'hotkey']
  await refuseTaken(location, kinds, options)
  const password = options.hotkeyOnly ? undefined : await coldkeyPassword(options)
  const made: Record<string, { readonly address: string; readonly mnemonic: string }> = {}
  for (const kind of kinds) {
    const material = fromPhrase(await newPhrase(systemRandom, words satisfies PhraseWords))
    // A node uses its hotkey without asking anybody, as Bittensor's do.
    await store(location, kind, material, options, kind === 'coldkey' ? password : undefined)
    const mnemonic = material.phrase ?? ''
    made[kind] = { address: toSs58(material.signer.publicKey), mnemonic }
  }
  const text = [
    `wallet "${location.name}" in ${join(location.path, location.name)}`,
    ...Object.entries(made).map(([kind, { address }]) => `  ${kind.padEnd(7)}  ${address}`),
    'Write these words down, away from this computer. They are shown once, and are the only way back to the keys:',
    ...Object.entries(made).map(([kind, { mnemonic }]) => `  ${kind.padEnd(7)}  ${mnemonic}`),
  ]
  const { path, name, hotkey } = location
  new Output(options).result({ path, name, hotkeyName: hotkey, ...made }, text.join('\n'))
}

async function importKey(options: ImportOptions): Promise<void> {
  const location = walletLocation(await commandConfig(options))
  const { key } = options
  await cryptoReady()
  const output = new Output(options)
  if (key === 'coldkeypub') {
    if (options.address === undefined) throw new SubnetError('CONFIG', '--key coldkeypub needs --address')
    await writeColdkeyPub(location, options.address, components, options)
    output.result({ key, address: options.address }, `coldkeypub  ${options.address}`)
    return
  }
  await refuseTaken(location, [key], options)
  const material = await fromSecretText(await secretText(options))
  const password = key === 'coldkey' ? await coldkeyPassword(options) : undefined
  await store(location, key, material, options, password)
  const address = toSs58(material.signer.publicKey)
  output.result({ key, address }, `${key}  ${address}`)
}

/** A coldkey's address lies beside it for those who may not have the key; the same one may be there already. */
async function store(
  location: WalletLocation,
  kind: KeyKind,
  material: KeyMaterial,
  { overwrite }: WriteOptions,
  password: string | undefined,
): Promise<void> {
  const address = toSs58(material.signer.publicKey)
  const known = (await describeWallet(location)).coldkey.address
  if (kind === 'coldkey' && known !== undefined && known !== address && !overwrite) {
    const text = `coldkeypub.txt of wallet "${location.name}" is of another coldkey, ${known}: choose another --wallet.name`
    throw new SubnetError('CONFIG', text)
  }
  const secret = password === undefined ? {} : { password }
  await writeKey(location, kind, material, components, { overwrite, ...secret })
  if (kind === 'coldkey' && known !== address)
    await writeColdkeyPub(location, address, components, { overwrite })
}

/** Before anything is made or asked for: all or nothing. */
async function refuseTaken(
  location: WalletLocation,
  kinds: readonly KeyKind[],
  { overwrite }: WriteOptions,
): Promise<void> {
  if (overwrite) return
  const { coldkey, hotkeys } = await describeWallet(location)
  const hotkey = hotkeys.find(({ name }) => name === location.hotkey)
  const states: Record<KeyKind, KeyEntry['state']> = {
    coldkey: coldkey.state,
    hotkey: hotkey?.state ?? 'absent',
  }
  const taken = kinds.filter((kind) => states[kind] !== 'absent')
  if (taken.length === 0) return
  const found = taken.map((kind) => `a ${kind} (${STATES[states[kind]]})`).join(' and ')
  const text = `wallet "${location.name}" in ${location.path} has ${found}: nothing was written; name another, or see --overwrite`
  throw new SubnetError('CONFIG', text, { data: { reason: 'exists', keys: taken } })
}

async function coldkeyPassword(options: WriteOptions): Promise<string | undefined> {
  return options.password ? await newPassword('coldkey', options) : undefined
}

async function secretText({ secretFile, key }: ImportOptions): Promise<string> {
  if (secretFile === '-') return await streamText(process.stdin)
  if (secretFile !== undefined) {
    return await readFile(secretFile, 'utf8').catch((cause: unknown) => {
      throw new SubnetError('CONFIG', `cannot read the secret file ${secretFile}`, { cause })
    })
  }
  const prompt = new Prompt()
  if (prompt.interactive) return await prompt.secret(`words, seed or private key of the ${key}`)
  throw new SubnetError(
    'CONFIG',
    'there is no terminal to ask for the secret at: give --secret-file, or - for stdin',
  )
}

async function listAll(options: OutputOptions): Promise<void> {
  const config = await commandConfig(options)
  const path = config.get('wallet.path')
  const wallets = await listWallets(path)
  const text = wallets.length === 0 ? `there is no wallet in ${path}` : wallets.flatMap(rowsOf).join('\n')
  new Output(options).result({ path, wallets }, text)
}

async function showWallet(options: OutputOptions): Promise<void> {
  const location = walletLocation(await commandConfig(options))
  const wallet = await describeWallet(location)
  const found = wallet.coldkey.state !== 'absent' || wallet.coldkey.address !== undefined
  if (!found && wallet.hotkeys.length === 0) {
    const text = `there is no wallet "${location.name}" in ${location.path}: "subnet-node wallet new" makes one`
    throw new SubnetError('NOT_FOUND', text)
  }
  const path = join(location.path, location.name)
  new Output(options).result({ path, ...wallet }, [...rowsOf(wallet), `  in ${path}`].join('\n'))
}

function rowsOf({ name, coldkey, hotkeys }: WalletEntry): string[] {
  const row = (what: string, { state, address }: KeyEntry) =>
    `  ${what.padEnd(16)}  ${address ?? '(address unknown)'}  ${STATES[state]}`
  const keys = hotkeys.map((hotkey) => row(`hotkey ${hotkey.name}`, hotkey))
  return [name, row('coldkey', coldkey), ...keys]
}

async function drawFaucet(amountRao: bigint, options: OutputOptions & PasswordOptions): Promise<void> {
  await withChain(
    options,
    async ({ chain, config, signal }) => {
      const { faucet } = chain
      if (faucet === undefined) throw new SubnetError('CONFIG', 'this chain has no faucet: it is no devchain')
      const output = new Output(options)
      const coldkey = await unlock(walletLocation(config), 'coldkey', options, output)
      await faucet.pay(coldkey, amountRao, { signal })
      const address = toSs58(coldkey.publicKey)
      const balanceRao = await chain.balanceRao(address, { signal })
      output.result({ coldkey: address, balanceRao }, `${address} has ${formatTao(balanceRao)}`)
    },
    { anySubnet: true },
  )
}
