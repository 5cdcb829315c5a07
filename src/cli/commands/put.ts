/**
 * `subnet-node put FILE|-`: stores a file and prints its capability.
 *
 * Next hop on the store path: roles/client/client.ts.
 */
import { basename, join, resolve } from 'node:path'
import type { Command } from 'commander'
import { systemClock } from '../../base/clock.js'
import { isSubnetError } from '../../base/errors.js'
import { formatBytes } from '../../base/units.js'
import type { Config } from '../../config/resolve.js'
import type { SubnetClient } from '../../node/client.js'
import { idOf } from '../../node/object-catalogue.js'
import { PutJournalFile, pruneJournals } from '../../node/put-journal-file.js'
import type { PutResult } from '../../roles/client/put.js'
import type { PutJournal } from '../../transfer/put-journal.js'
import {
  addClientOptions,
  type ClientCommandOptions,
  openCatalogue,
  subnetOf,
  timeOfBlock,
  withClient,
} from '../client-session.js'
import { addProgressOption, wholeNumber } from '../options.js'
import { Output } from '../output.js'
import { ProgressLine, type ProgressMode } from '../progress.js'
import { bytesOf, openSource, type Source } from '../put-source.js'

interface PutContext {
  readonly client: SubnetClient
  readonly config: Config
  readonly output: Output
}

interface PutOptions extends ClientCommandOptions {
  readonly progress: ProgressMode
  readonly leaseBlocks?: number
  readonly resume: boolean
  readonly name?: string
  readonly public?: boolean
}

export function addPut(program: Command): void {
  const command = program
    .command('put')
    .description(
      'store a file, encrypted unless it is public, spread over independent miners; prints its capability',
    )
    .argument('<file>', 'file to store, or - for standard input')
    .option(
      '--lease-blocks <n>',
      'blocks the miners are to keep it (default 30 days of 12 s)',
      wholeNumber(1, 2 ** 31),
    )
    .option('--name <text>', "what `ls` is to call it (default: the file's name)")
    .option('--public', 'for everybody to read, not encrypted, as the same file that `ipfs add` makes of it')
    .option('--no-resume', 'start anew, whatever an interrupted run has left')
    .action(put)
  addProgressOption(command)
  addClientOptions(command, ['profile'])
}

async function put(file: string, options: PutOptions): Promise<void> {
  const output = new Output(options)
  const source = await openSource(file)
  try {
    await withClient(options, async (client, signal, config) => {
      const line = new ProgressLine(systemClock, 'storing', options.progress)
      const { sizeBytes } = source
      const journal = await openJournal(file, source, options, { client, config, output })
      const total = sizeBytes === undefined ? {} : { totalBytes: sizeBytes }
      try {
        const result = await client.storage.put(bytesOf(file, source), {
          signal,
          public: options.public === true,
          ...(sizeBytes === undefined ? {} : { sizeBytes }),
          ...(journal === undefined ? {} : { journal }),
          ...(options.leaseBlocks === undefined ? {} : { leaseBlocks: options.leaseBlocks }),
          onProgress: (progress) => line.update({ ...progress, ...total }),
        })
        line.end()
        show(output, result)
        await list(result, options.name ?? nameOf(file), { client, config, output })
      } finally {
        line.end()
      }
    })
  } finally {
    source.stream.destroy()
  }
}

function show(output: Output, result: PutResult): void {
  const { sizeBytes, storedBytes, holders, segments, profile, weakestReceipts, fullReceipts, warning } =
    result
  const spread =
    segments === 0
      ? 'each has all of it'
      : `the weakest segment has ${weakestReceipts} of ${fullReceipts} receipts`
  const miners = holders.length === 1 ? '1 miner' : `${holders.length} miners`
  output.note(
    `${formatBytes(sizeBytes)} stored as ${formatBytes(storedBytes)} on ${miners} (${profile}); ${spread}`,
  )
  const { resumed, reusedBytes, sentBytes } = result
  if (resumed)
    output.note(`${formatBytes(reusedBytes)} were there already, ${formatBytes(sentBytes)} were sent`)
  if (warning !== undefined) output.note(`warning: ${warning}`)
  const shown = { ...result, address: undefined }
  const { capability, ownerCapability, fileCid } = result
  if (fileCid === undefined) {
    output.note('Whoever has this capability can read the file. There is no other way to read it:')
    output.result(shown, capability)
    return
  }
  output.note('Only with this capability can it be renewed or removed; nobody else has it:')
  output.note(ownerCapability)
  output.note('Anybody can read the file by this address; the second line is its CID in IPFS:')
  output.result(shown, `${capability}\n${fileCid}`)
}

/** The journal of this put of this file, unless it is a pipe or another process is at it. */
async function openJournal(
  file: string,
  { sizeBytes, modifiedMs }: Source,
  options: PutOptions,
  { client, config, output }: PutContext,
): Promise<PutJournal | undefined> {
  if (sizeBytes === undefined || modifiedMs === undefined) return undefined
  const directory = join(config.get('db_root_path'), 'client', 'puts')
  await pruneJournals(directory, systemClock.nowMs())
  const journal = new PutJournalFile(directory, {
    path: resolve(file),
    sizeBytes,
    modifiedMs,
    profile: config.get('profile'),
    class: options.public === true ? 'public' : 'private',
    subnet: subnetOf(client),
  })
  const pid = await journal.usedBy()
  if (pid !== undefined) {
    output.note(`process ${pid} is storing this file too; this run is on its own and cannot be resumed`)
    return undefined
  }
  if (!options.resume) await journal.remove()
  if ((await journal.load()) !== undefined) {
    output.note(`going on with an interrupted put of ${file}; --no-resume starts anew`)
  }
  return journal
}

function nameOf(file: string): string {
  return file === '-' ? '(standard input)' : basename(file)
}

/** The object is safe by now, and its capability is printed: that it could not be listed is no failure of the put. */
async function list(
  { ownerCapability, class: objectClass, fileCid, sizeBytes, profile, endBlock }: PutResult,
  name: string,
  { client, config, output }: PutContext,
): Promise<void> {
  try {
    await openCatalogue(config).add({
      id: idOf(ownerCapability),
      name,
      sizeBytes,
      profile,
      class: objectClass,
      ...(fileCid === undefined ? {} : { fileCid }),
      // Of a public object the one that lets its owner renew and remove it; it reads, too.
      capability: ownerCapability,
      putAtMs: systemClock.nowMs(),
      endBlock,
      endsAtMs: timeOfBlock(endBlock, client),
      subnet: subnetOf(client),
    })
  } catch (error) {
    if (!isSubnetError(error, 'DISK')) throw error
    output.note(`warning: \`ls\` will not show it: ${error.message}`)
  }
}
