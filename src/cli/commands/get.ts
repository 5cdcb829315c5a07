/** `subnet-node get CAP`: reads an object or a part of it back, verified, to a file or standard output. */
import type { Command } from 'commander'
import { systemClock } from '../../base/clock.js'
import { SubnetError } from '../../base/errors.js'
import { releaseWithRest } from '../../base/release.js'
import { formatBytes, formatDuration } from '../../base/units.js'
import type { SubnetClient } from '../../node/client.js'
import type { ByteRange, DownloadProgress } from '../../transfer/download.js'
import { readCarPart } from '../car-part.js'
import { addClientOptions, type ClientCommandOptions, withObject } from '../client-session.js'
import { addProgressOption, asWord } from '../options.js'
import { Output } from '../output.js'
import { PartFile } from '../part-file.js'
import { ProgressLine, type ProgressMode } from '../progress.js'

interface GetOptions extends ClientCommandOptions {
  readonly output: string
  readonly progress: ProgressMode
  readonly range?: ByteRange
  readonly resume: boolean
  readonly car?: boolean
}

export function addGet(program: Command): void {
  const command = program
    .command('get')
    .description('read an object back; every byte is verified')
    .argument('<object>', 'what `put` printed (subnet:…), or a name or id that `ls` shows')
    .option('-o, --output <file>', 'file to write, or - for standard output', '-')
    .option(
      '--range <start-end>',
      'only these bytes, both ends included; without an end to the last',
      asWord(parseRange),
    )
    .option(
      '--car',
      'a public object as a CAR file: its IPFS blocks, for `ipfs dag import` and other IPFS tools',
    )
    .option('--no-resume', 'read all of it again, whatever an interrupted run has left')
    .action(get)
  addProgressOption(command)
  addClientOptions(command)
}

async function get(wanted: string, options: GetOptions): Promise<void> {
  const output = new Output(options)
  const toStdout = options.output === '-'
  if (toStdout && process.stdout.isTTY) {
    throw new SubnetError(
      'CONFIG',
      'not writing an object to a terminal: give -o FILE, or redirect the output',
    )
  }
  if (options.car === true && options.range !== undefined)
    throw new SubnetError('CONFIG', 'a CAR file has the whole object: give --car or --range')
  await withObject(wanted, options, async (capability, client, signal) => {
    if (options.car === true) {
      await getCar(client, capability, options, output, signal)
      return
    }
    const line = new ProgressLine(systemClock, 'reading', options.progress)
    const startedMs = systemClock.monotonicMs()
    let last: DownloadProgress | undefined
    const { start = 0, end } = options.range ?? {}
    const what = `${capability} ${start}-${end ?? ''}`
    const part = toStdout ? undefined : await PartFile.open(options.output, what, !options.resume)
    const resumedBytes = part?.doneBytes ?? 0
    if (resumedBytes > 0)
      output.note(`going on with ${options.output}.part: ${formatBytes(resumedBytes)} are there`)
    try {
      const object = await client.storage
        .get(capability, {
          signal,
          range: { start: start + resumedBytes, ...(end === undefined ? {} : { end }) },
          onProgress: (progress) => {
            last = progress
            line.update(progress)
          },
        })
        .catch(async (error: unknown) => {
          await part?.abandon()
          throw error
        })
      const data = object.class === 'private' ? freed(object.data) : object.data
      if (part !== undefined) await part.fill(data)
      else if (!(await writeStdout(data))) return
      line.end()
      const elapsedMs = systemClock.monotonicMs() - startedMs
      const { sizeBytes, profile, range, class: objectClass, fileCid } = object
      const readBytes = range.end - range.start
      output.note(`${formatBytes(readBytes)} read and verified in ${formatDuration(elapsedMs)}`)
      const { fetchedBytes = 0, retries = 0 } = last ?? {}
      const facts = {
        ...{ sizeBytes, class: objectClass, fileCid, readBytes, resumedBytes, fetchedBytes, retries },
        ...{ profile, output: options.output, elapsedMs },
      }
      if (options.json && !toStdout) output.result(facts, '')
    } finally {
      line.end()
    }
  })
}

/** Goes on behind the last whole block of what an interrupted run has left: the order of blocks is always the same. */
async function getCar(
  client: SubnetClient,
  capability: string,
  options: GetOptions,
  output: Output,
  signal: AbortSignal,
): Promise<void> {
  const toStdout = options.output === '-'
  const line = new ProgressLine(systemClock, 'reading', options.progress)
  const part = toStdout
    ? undefined
    : await PartFile.open(options.output, `${capability} car`, !options.resume)
  try {
    const start = part === undefined ? undefined : await readCarPart(part.path, part.doneBytes)
    await part?.shorten(start?.doneBytes ?? 0)
    const resumedBytes = start?.doneBytes ?? 0
    if (resumedBytes > 0)
      output.note(`going on with ${options.output}.part: ${formatBytes(resumedBytes)} are there`)
    const onProgress = (progress: DownloadProgress) => line.update(progress)
    const asked = { signal, onProgress, ...(start === undefined ? {} : { start }) }
    const { data, ...facts } = await client.storage.getCar(capability, asked)
    if (part !== undefined) await part.fill(data)
    else if (!(await writeStdout(data))) return
    line.end()
    output.note(`${formatBytes(facts.sizeBytes)} read and verified, as the IPFS file ${facts.fileCid}`)
    if (options.json && !toStdout) output.result({ ...facts, resumedBytes, output: options.output }, '')
  } catch (error) {
    await part?.abandon()
    throw error
  } finally {
    line.end()
  }
}

/** Ends included on the command line, as HTTP has them; as `slice` has them inside. */
function parseRange(text: string): ByteRange {
  const [, start = '', end = ''] = /^(\d{1,15})-(\d{0,15})$/.exec(text) ?? []
  const range = end === '' ? { start: Number(start) } : { start: Number(start), end: Number(end) + 1 }
  if (start !== '' && (range.end ?? Number.POSITIVE_INFINITY) > range.start) return range
  throw new SubnetError('CONFIG', `"${text}" is no range of bytes: give START-END, such as 0-499, or START-`)
}

/** Each piece is freed when the next one is asked for, for then it is written: read fast, they are a lot of garbage. */
async function* freed(data: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const bytes of data) {
    yield bytes
    releaseWithRest(bytes)
  }
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
