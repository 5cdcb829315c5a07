/**
 * `subnet-node renew CAP` and `rm CAP`: what the owner of an object may do with it, with the owner's capability and nothing
 * else: a private object's only one, or the one with `#own=` of a public object.
 */
import type { Command } from 'commander'
import {
  addClientOptions,
  type ClientCommandOptions,
  openCatalogue,
  timeOfBlock,
  withObject,
} from '../client-session.js'
import { wholeNumber } from '../options.js'
import { Output } from '../output.js'

interface RenewOptions extends ClientCommandOptions {
  readonly leaseBlocks?: number
}

const OBJECT_HELP = 'what `put` printed (of a public object what has #own=), or a name or id that `ls` shows'

export function addRenew(program: Command): void {
  const command = program
    .command('renew')
    .description('have an object kept for longer')
    .argument('<object>', OBJECT_HELP)
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
    .argument('<object>', OBJECT_HELP)
    .action(release)
  addClientOptions(command)
}

async function renew(object: string, options: RenewOptions): Promise<void> {
  const output = new Output(options)
  await withObject(object, options, async (capability, client, signal, config) => {
    const { leaseBlocks } = options
    const terms = leaseBlocks === undefined ? { signal } : { signal, leaseBlocks }
    const { endBlock, miners } = await client.storage.renew(capability, terms)
    const { block } = client.subnet.view
    const days = ((endBlock - block) * client.subnet.chain.constants.blockMs) / 86_400_000
    const text = `kept until block ${endBlock}, about ${days.toFixed(1)} days from now, by ${miners} miners`
    output.result({ endBlock, miners, block }, text)
    await openCatalogue(config).renew(capability, { endBlock, endsAtMs: timeOfBlock(endBlock, client) })
  })
}

async function release(object: string, options: ClientCommandOptions): Promise<void> {
  const output = new Output(options)
  await withObject(object, options, async (capability, client, signal, config) => {
    const { miners } = await client.storage.release(capability, { signal })
    output.result({ released: true, miners }, `released; ${miners} miners are told to drop it`)
    await openCatalogue(config).remove(capability)
  })
}
