/** `subnet-node get CAP`: reads an object back, verified, to a file or standard output. */
import { open, rename, rm } from 'node:fs/promises'
import type { Command } from 'commander'
import { systemClock } from '../../base/clock.js'
import { SubnetError, toSubnetError } from '../../base/errors.js'
import { formatBytes, formatDuration } from '../../base/units.js'
import { addClientOptions, withClient } from '../client-session.js'
import { addProgressOption, type OutputOptions } from '../options.js'
import { Output } from '../output.js'
import { ProgressLine, type ProgressMode } from '../progress.js'

interface GetOptions extends OutputOptions {
  readonly output: string
  readonly progress: ProgressMode
}

export function addGet(program: Command): void {
  const command = program
    .command('get')
    .description('read an object back; every byte is verified')
    .argument('<capability>', 'what `put` printed: subnet:…#…')
    .option('-o, --output <file>', 'file to write, or - for standard output', '-')
    .action(get)
  addProgressOption(command)
  addClientOptions(command)
}

async function get(capability: string, options: GetOptions): Promise<void> {
  const output = new Output(options)
  const toStdout = options.output === '-'
  if (toStdout && process.stdout.isTTY) {
    throw new SubnetError(
      'CONFIG',
      'not writing an object to a terminal: give -o FILE, or redirect the output',
    )
  }
  await withClient(options, async (client, signal) => {
    const line = new ProgressLine(systemClock, 'reading', options.progress)
    const startedMs = systemClock.monotonicMs()
    try {
      const object = await client.storage.get(capability, {
        signal,
        onProgress: (progress) => line.update(progress),
      })
      if (!toStdout) await writeFile(options.output, object.data)
      else if (!(await writeStdout(object.data))) return
      line.end()
      const elapsedMs = systemClock.monotonicMs() - startedMs
      output.note(`${formatBytes(object.sizeBytes)} read and verified in ${formatDuration(elapsedMs)}`)
      const { sizeBytes, profile } = object
      if (options.json && !toStdout)
        output.result({ sizeBytes, profile, output: options.output, elapsedMs }, '')
    } finally {
      line.end()
    }
  })
}

/** False when the reader went away before the end (`| head`): it has what it wants. */
async function writeStdout(data: AsyncIterable<Uint8Array>): Promise<boolean> {
  for await (const bytes of data) {
    const gone = await new Promise<boolean>((resolve, reject) => {
      process.stdout.write(bytes, (error: NodeJS.ErrnoException | null | undefined) => {
        if (!error) resolve(false)
        else if (error.code === 'EPIPE') resolve(true)
        else reject(error)
      })
    })
    if (gone) return false
  }
  return true
}

/** The name appears only when every byte behind it was verified and synced; an aborted read leaves nothing. */
async function writeFile(path: string, data: AsyncIterable<Uint8Array>): Promise<void> {
  const partPath = `${path}.part`
  const file = await open(partPath, 'w').catch((cause: unknown) => {
    throw new SubnetError('DISK', `cannot write ${partPath}`, { cause })
  })
  try {
    try {
      for await (const bytes of data) await file.writeFile(bytes)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(partPath, path)
  } catch (error) {
    await rm(partPath, { force: true })
    throw toSubnetError(error, 'DISK', `writing ${path}`)
  }
}
