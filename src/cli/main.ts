#!/usr/bin/env node
/** The command line's entry: words to commands, failures to exit codes. */
import '../base/platform.js'
import { readFileSync } from 'node:fs'
import { Command, CommanderError, Help } from 'commander'
import { steadyHeap } from '../base/heap.js'
import { nearest } from '../config/nearest.js'
import { EXIT_OK, EXIT_USAGE, exitCodeOf } from './exit-codes.js'
import { guardOutput, Output } from './output.js'

function packageVersion(): string {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

type AddCommand = (program: Command) => void

/** By the first word. Each is loaded only when it is named: a wallet needs no libp2p, which takes half a second. */
const COMMANDS: Readonly<Record<string, () => Promise<AddCommand>>> = {
  devnet: async () => (await import('./commands/devnet.js')).addDevnet,
  devchain: async () => (await import('./commands/devchain.js')).addDevchain,
  put: async () => (await import('./commands/put.js')).addPut,
  get: async () => (await import('./commands/get.js')).addGet,
  ls: async () => (await import('./commands/ls.js')).addLs,
  stat: async () => (await import('./commands/stat.js')).addStat,
  renew: async () => (await import('./commands/owner.js')).addRenew,
  rm: async () => (await import('./commands/owner.js')).addRelease,
  status: async () => (await import('./commands/status.js')).addStatus,
  doctor: async () => (await import('./commands/doctor.js')).addDoctor,
  wallet: async () => (await import('./commands/wallet.js')).addWallet,
  register: async () => (await import('./commands/register.js')).addRegister,
  stake: async () => (await import('./commands/register.js')).addStakeCommand,
  subnet: async () => (await import('./commands/subnet.js')).addSubnet,
  weights: async () => (await import('./commands/weights.js')).addWeights,
  config: async () => (await import('./commands/config.js')).addConfig,
}

const plainHelp = new Help()

async function buildProgram(firstWord: string, json: boolean): Promise<Command> {
  const program = new Command('subnet-node')
    .description('Decentralised, proof-bearing storage for Bittensor subnets.')
    .version(packageVersion())
    .showSuggestionAfterError()
    .enablePositionalOptions()
    .exitOverride()
    // That a switch is off until it is given goes without saying.
    .configureHelp({
      optionDescription: (option) =>
        option.defaultValue === false ? option.description : plainHelp.optionDescription(option),
    })
    // With --json `main` says it.
    .configureOutput(json ? { writeErr: () => undefined } : {})
  const named = Object.hasOwn(COMMANDS, firstWord) ? COMMANDS[firstWord] : undefined
  if (named !== undefined) {
    const add = await named()
    add(program)
    return program
  }
  if (firstWord !== '' && !firstWord.startsWith('-')) {
    const guess = nearest(firstWord, Object.keys(COMMANDS))
    const hint = guess === undefined ? 'subnet-node --help lists them' : `Did you mean ${guess}?`
    program.error(`error: unknown command '${firstWord}'\n(${hint})`)
  }
  // A node, or somebody who asks what there is.
  const { addRun } = await import('./commands/run.js')
  addRun(program)
  // They would be a node's, and the command would not hear of them.
  program.hook('preSubcommand', (_, command) =>
    program.error(`error: options come after the command: subnet-node ${command.name()} …`),
  )
  for (const load of Object.values(COMMANDS)) {
    const add = await load()
    add(program)
  }
  return program
}

async function main(words: readonly string[]): Promise<number> {
  const json = words.includes('--json')
  const output = new Output({ json, debug: words.includes('--debug') })
  guardOutput(output)
  steadyHeap()
  try {
    const asked = words[0] === 'help' ? [...words.slice(1), '--help'] : [...words]
    const program = await buildProgram(asked[0] ?? '', json)
    await program.parseAsync(asked, { from: 'user' })
    return EXIT_OK
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return EXIT_OK
      output.usage(error.code === 'commander.help' ? 'a command or --role is needed' : error.message)
      return EXIT_USAGE
    }
    output.failure(error)
    return exitCodeOf(error)
  }
}

process.exitCode = await main(process.argv.slice(2))
// A parent's IPC channel would keep a finished child alive.
if (process.connected) process.disconnect()
