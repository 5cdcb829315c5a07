#!/usr/bin/env node
/** The command line's entry: words to commands, failures to exit codes. */
import '../base/platform.js'
import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { addConfig } from './commands/config.js'
import { addDevchain } from './commands/devchain.js'
import { addDevnet } from './commands/devnet.js'
import { addDoctor } from './commands/doctor.js'
import { addGet } from './commands/get.js'
import { addLs } from './commands/ls.js'
import { addRelease, addRenew } from './commands/owner.js'
import { addPut } from './commands/put.js'
import { addRun } from './commands/run.js'
import { addStat } from './commands/stat.js'
import { addStatus } from './commands/status.js'
import { EXIT_OK, EXIT_USAGE, exitCodeOf } from './exit-codes.js'
import { guardOutput, Output } from './output.js'

function packageVersion(): string {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

function buildProgram(): Command {
  const program = new Command('subnet-node')
    .description('Decentralised, proof-bearing storage for Bittensor subnets.')
    .version(packageVersion())
    .showSuggestionAfterError()
    .enablePositionalOptions()
    .exitOverride()
  addRun(program)
  addDevnet(program)
  addDevchain(program)
  addPut(program)
  addGet(program)
  addLs(program)
  addStat(program)
  addRenew(program)
  addRelease(program)
  addStatus(program)
  addDoctor(program)
  addConfig(program)
  return program
}

async function main(words: readonly string[]): Promise<number> {
  guardOutput()
  const output = new Output({ json: words.includes('--json'), debug: words.includes('--debug') })
  try {
    await buildProgram().parseAsync([...words], { from: 'user' })
    return EXIT_OK
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT_OK : EXIT_USAGE
    output.failure(error)
    return exitCodeOf(error)
  }
}

process.exitCode = await main(process.argv.slice(2))
// A parent's IPC channel would keep a finished child alive.
if (process.connected) process.disconnect()
