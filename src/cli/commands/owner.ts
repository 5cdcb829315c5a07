/**
 * `subnet-node renew CAP` and `rm CAP`: what the owner of an object may do with it, with the owner's capability and nothing
 * else: a private object's only one, or the one with `#own=` of a public object.
 */
import type { Command } from 'commander'
import { addClientOptions, withClient } from '../client-session.js'
import { type OutputOptions, wholeNumber } from '../options.js'
import { Output } from '../output.js'

interface RenewOptions extends OutputOptions {
  readonly leaseBlocks?: number
}

export function addRenew(program: Command): void {
  const command = program
    .command('renew')
    .description('have an object kept for longer')
    .argument('<capability>', 'what `put` printed; of a public object the one with #own=')
    .option(
      '--lease-blocks <n>',
      'blocks from now on; never shortens (default 30 days of 12 s)',
      wholeNumber(1, 2 ** 31),
    )
    .action(renew)
  addClientOptions(command)
}

export function addRelease(program: Command): void {
  const command = program
    .command('rm')
    .description('let an object go: nobody finds it any more, and miners drop it 7 days later')
    .argument('<capability>', 'what `put` printed; of a public object the one with #own=')
    .action(release)
  addClientOptions(command)
}

async function renew(capability: string, options: RenewOptions): Promise<void> {
  const output = new Output(options)
  await withClient(options, async (client, signal) => {
    const { leaseBlocks } = options
    const terms = leaseBlocks === undefined ? { signal } : { signal, leaseBlocks }
    const { endBlock, miners } = await client.storage.renew(capability, terms)
    const { block } = client.subnet.view
    const days = ((endBlock - block) * client.subnet.chain.constants.blockMs) / 86_400_000
    const text = `kept until block ${endBlock}, about ${days.toFixed(1)} days from now, by ${miners} miners`
    output.result({ endBlock, miners, block }, text)
  })
}

async function release(capability: string, options: OutputOptions): Promise<void> {
  const output = new Output(options)
  await withClient(options, async (client, signal) => {
    const { miners } = await client.storage.release(capability, { signal })
    output.result({ released: true, miners }, `released; ${miners} miners are told to drop it`)
  })
}
