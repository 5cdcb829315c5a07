/** `subnet-node stat CAP`: what is known of an object without reading it. */
import type { Command } from 'commander'
import { formatBytes } from '../../base/units.js'
import type { SegmentHealth } from '../../roles/client/object-status.js'
import { addClientOptions, type ClientCommandOptions, withObject } from '../client-session.js'
import { Output } from '../output.js'

export function addStat(program: Command): void {
  const command = program
    .command('stat')
    .description('show size, profile and health of an object without reading it')
    .argument(
      '<object>',
      'what `put` printed, of which the part before # is enough, or a name or id that `ls` shows',
    )
    .action(stat)
  addClientOptions(command)
}

async function stat(object: string, options: ClientCommandOptions): Promise<void> {
  const output = new Output(options)
  await withObject(object, options, async (capability, client, signal) => {
    const status = await client.storage.stat(capability, { signal })
    const { weakest } = status
    const rows: readonly (readonly [string, string])[] = [
      ['size', formatBytes(status.sizeBytes)],
      ['class', status.class],
      ...(status.fileCid === undefined ? [] : [['ipfs', status.fileCid] as const]),
      ['stored', `${formatBytes(status.storedBytes)} in ${status.segments} segments (${status.profile})`],
      ['created', new Date(status.createdUnixSeconds * 1000).toISOString()],
      ['holders', `${status.holdersReachable} of ${status.holders} answer`],
      ['weakest', `${weakest.live} of ${weakest.n} chunks live, ${weakest.k} needed`],
      ...status.segmentHealth.map((group) => ['chunks', chunksLine(group)] as const),
      [
        'copies',
        `${status.copies.live} of ${status.copies.held} live, of the manifest and all that is kept like it`,
      ],
      ['health', status.health],
    ]
    output.result(status, rows.map(([name, value]) => `${name.padEnd(9)}${value}`).join('\n'))
  })
}

function chunksLine({ segments, live, n, canLose }: SegmentHealth): string {
  const of = segments === 1 ? '1 segment has' : `${segments} segments have`
  return `${of} ${live} of ${n}, ${canLose} can be lost still`
}
