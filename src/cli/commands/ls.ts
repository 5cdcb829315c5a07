/** `subnet-node ls`: what this machine's client has put. Asks nobody: it reads a list of its own. */
import type { Command } from 'commander'
import { systemClock } from '../../base/clock.js'
import { formatBytes } from '../../base/units.js'
import { type CatalogueRecord, SHORT_ID_CHARS } from '../../node/object-catalogue.js'
import { openCatalogue } from '../client-session.js'
import { addOutputOptions, addSettings, commandConfig, type OutputOptions } from '../options.js'
import { Output } from '../output.js'

interface LsOptions extends OutputOptions {
  readonly capabilities: boolean
}

export function addLs(program: Command): void {
  const command = program
    .command('ls')
    .description('list what was put from this machine, the oldest first')
    .option(
      '--capabilities',
      'show the capabilities too: whoever sees them can read, renew and remove the objects',
      false,
    )
    .action(ls)
  addSettings(command, ['db_root_path'])
  addOutputOptions(command)
}

async function ls(options: LsOptions): Promise<void> {
  const output = new Output(options)
  const catalogue = openCatalogue(await commandConfig(options))
  let listed = 0
  for await (const record of catalogue.records()) {
    if (listed === 0) output.note(row(['id', 'put', 'kept until', '', 'size', 'profile', 'name']))
    listed += 1
    output.result(factsOf(record, options), line(record, options))
  }
  if (listed === 0) output.note('nothing was put from this machine')
}

function factsOf(record: CatalogueRecord, { capabilities }: LsOptions): object {
  const { putAtMs, endsAtMs, capability, ...facts } = record
  return {
    ...facts,
    putAt: new Date(putAtMs).toISOString(),
    endsAt: new Date(endsAtMs).toISOString(),
    ...(capabilities ? { capability } : {}),
  }
}

function line(record: CatalogueRecord, { capabilities }: LsOptions): string {
  const { id, name, sizeBytes, profile, class: kind, putAtMs, endBlock, endsAtMs, capability } = record
  const isOver = endsAtMs < systemClock.nowMs()
  const cells = [
    id.slice(0, SHORT_ID_CHARS),
    minuteOf(putAtMs),
    `block ${endBlock}`,
    isOver ? '(over)' : `≈ ${minuteOf(endsAtMs)}`,
    formatBytes(sizeBytes),
    kind === 'private' ? profile : `${profile} ${kind}`,
    // A file may have a line end or a terminal's commands in its name.
    name.replace(/\p{Cc}/gu, '�'),
  ]
  return capabilities ? `${row(cells)}  ${capability}` : row(cells)
}

function minuteOf(unixMs: number): string {
  return new Date(unixMs).toISOString().slice(0, 16).replace('T', ' ')
}

const WIDTHS = [SHORT_ID_CHARS, 16, 14, 18, 10, 9] as const

function row(cells: readonly string[]): string {
  return cells.map((cell, index) => cell.padEnd(WIDTHS[index] ?? 0)).join('  ')
}
