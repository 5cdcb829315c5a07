/**
 * The drill: what the network is for, shown end to end on real processes. A file goes in, six miners are killed, the
 * file comes out in a process that knows nothing but the capability and the chain, the survivors prove what they hold,
 * and the killed come back with everything they had.
 */
import { join } from 'node:path'
import { SubnetError } from '../../base/errors.js'
import { formatBytes, MIB } from '../../base/units.js'
import type { AuditReport } from '../../roles/validator/auditor.js'
import { bar } from '../progress.js'
import { runClient } from './client-process.js'
import type { Devnet, DevnetNode } from './devnet.js'
import { describeFile, type SampleFile, writeSample } from './sample-file.js'
import type { Live, Screen } from './screen.js'

/** Size of the file when the user gives none. */
const SAMPLE_BYTES = 64 * MIB
const TABLE_BAR_CELLS = 16
const LIVE_BAR_CELLS = 20

export interface DrillInit {
  /** The run's directory. */
  readonly path: string
  /** The user's file; without it one is made from `seed`. */
  readonly file?: string | undefined
  readonly seed: string
  readonly profile: string
  /** Miners to kill. */
  readonly kill: number
}

/** What `put --json` prints, as far as the drill uses it. */
interface Stored {
  readonly capability: string
  readonly storedBytes: number
  readonly segments: number
  readonly weakestReceipts: number
  readonly fullReceipts: number
  readonly holders: readonly {
    readonly hotkey: string
    readonly chunks: number
    readonly bytes: number
    readonly holdsManifest: boolean
  }[]
}

/** Rejects at the first step that does not show what it should. Resolves with the capability. */
export async function runDrill(
  devnet: Devnet,
  screen: Screen,
  init: DrillInit,
  signal: AbortSignal,
): Promise<string> {
  const file = await screen.step('file', () => prepareFile(init))
  const stored = await screen.step('put', (live) => put(devnet, init, file, live, signal))
  showTable(devnet, screen, stored)
  const victims = chooseVictims(devnet, stored, init.kill)
  await screen.step('kill', () => killAll(victims))
  await screen.step('get', (live) => getBack(devnet, init, stored, file, live, signal))
  const alive = devnet.miners.filter((miner) => !victims.some(({ node }) => node === miner))
  await screen.step('prove', () => prove(devnet, alive, stored, signal))
  await screen.step('rejoin', (live) => rejoin(devnet, victims, live, signal))
  await screen.step('prove', () => prove(devnet, devnet.miners, stored, signal))
  return stored.capability
}

async function prepareFile(init: DrillInit) {
  const file =
    init.file === undefined
      ? await writeSample(join(init.path, 'sample.bin'), init.seed, SAMPLE_BYTES)
      : await describeFile(init.file)
  const origin = init.file ?? `made from seed ${init.seed}`
  return { facts: file, lines: [`${formatBytes(file.sizeBytes)}, ${origin}; its sha256 is`, file.sha256] }
}

async function put(devnet: Devnet, init: DrillInit, file: SampleFile, live: Live, signal: AbortSignal) {
  const { result, pid } = await runClient({
    args: [
      ...['put', file.path, '--profile', init.profile, '--db_root_path', init.path],
      ...['--subtensor.chain_endpoint', devnet.endpoint],
    ],
    signal,
    onProgress: ({ doneBytes }) => live(progress(doneBytes, file.sizeBytes)),
  })
  const stored = result as Stored
  const { segments, storedBytes, holders, weakestReceipts, fullReceipts, capability } = stored
  const [name, secret] = capability.split('#')
  return {
    facts: { ...stored, pid },
    lines: [
      `sealed, coded as ${init.profile}, ${formatBytes(storedBytes)} on ${holders.length} miners`,
      `${segments} segments, at least ${weakestReceipts} of ${fullReceipts} receipts each, by process ${pid}`,
      `${name}`,
      `#${secret}`,
    ],
  }
}

/** Which miner holds how many bytes, in 80 columns. */
function showTable(devnet: Devnet, screen: Screen, stored: Stored): void {
  const most = Math.max(...stored.holders.map(({ bytes }) => bytes))
  const head = `  ${'miner'.padEnd(10)}${'pid'.padStart(8)}${'chunks'.padStart(8)}${'bytes'.padStart(12)}`
  screen.print('', screen.dim(`${head}   ${'share'.padEnd(TABLE_BAR_CELLS)}  manifest`))
  for (const miner of devnet.miners) {
    const holder = stored.holders.find(({ hotkey }) => hotkey === miner.hotkey)
    const bytes = holder?.bytes ?? 0
    const cells = [
      miner.name.padEnd(10),
      String(miner.process.pid).padStart(8),
      String(holder?.chunks ?? 0).padStart(8),
      formatBytes(bytes).padStart(12),
      `   ${bar(bytes / most, TABLE_BAR_CELLS)}`,
      holder?.holdsManifest === true ? '  yes' : '',
    ]
    screen.print(`  ${cells.join('')}`)
  }
  screen.print('')
}

interface Victim {
  readonly node: DevnetNode
  readonly pid: number
  readonly holdsManifest: boolean
  /** By its own last word. */
  readonly heldChunks: number
}

/** Those who hold most; half of them from among the manifest's holders, so that its copies are tried too. */
function chooseVictims(devnet: Devnet, stored: Stored, count: number): Victim[] {
  const byBytes = [...stored.holders].sort((a, b) => b.bytes - a.bytes)
  const withManifest = byBytes.filter(({ holdsManifest }) => holdsManifest).slice(0, Math.ceil(count / 2))
  const others = byBytes.filter((holder) => !withManifest.includes(holder))
  return [...withManifest, ...others].slice(0, count).flatMap(({ hotkey, holdsManifest, chunks }) => {
    const node = devnet.miners.find((miner) => miner.hotkey === hotkey)
    return node === undefined ? [] : [{ node, pid: node.process.pid, holdsManifest, heldChunks: chunks }]
  })
}

async function killAll(victims: readonly Victim[]) {
  await Promise.all(victims.map(({ node }) => node.process.kill()))
  const withManifest = victims.filter(({ holdsManifest }) => holdsManifest).length
  const facts = {
    killed: victims.map(({ node, pid, holdsManifest }) => ({ name: node.name, pid, holdsManifest })),
  }
  const names = victims.map(({ node, pid }) => `${node.name} (${pid})`)
  return {
    facts,
    lines: [
      `SIGKILL to ${victims.length} miners, ${withManifest} of them with the manifest`,
      names.slice(0, 3).join(', '),
      names.slice(3).join(', '),
    ].filter((line) => line !== ''),
  }
}

async function getBack(
  devnet: Devnet,
  init: DrillInit,
  stored: Stored,
  file: SampleFile,
  live: Live,
  signal: AbortSignal,
) {
  const output = join(init.path, 'back.bin')
  const { pid } = await runClient({
    args: ['get', stored.capability, '-o', output, '--subtensor.chain_endpoint', devnet.endpoint],
    signal,
    onProgress: ({ doneBytes }) => live(progress(doneBytes, file.sizeBytes)),
  })
  const back = await describeFile(output)
  if (back.sha256 !== file.sha256) {
    throw new SubnetError('MISMATCH', `what came back is another file: sha256 ${back.sha256}`)
  }
  return {
    facts: { pid, sizeBytes: back.sizeBytes, sha256: back.sha256, intact: true },
    lines: [
      `${formatBytes(back.sizeBytes)} read back intact by new process ${pid},`,
      'given nothing but the capability and the chain endpoint; sha256',
      back.sha256,
    ],
  }
}

/** Every miner that holds part of the file is challenged by the validator that placed it, and must prove all samples. */
async function prove(devnet: Devnet, miners: readonly DevnetNode[], stored: Stored, signal: AbortSignal) {
  const asked = miners.filter(({ hotkey }) => stored.holders.some((holder) => holder.hotkey === hotkey))
  const answers = await Promise.all(devnet.validators.map(({ process }) => process.ask('audit', { signal })))
  const reports = (answers as AuditReport[][])
    .flat()
    .filter(({ miner }) => asked.some(({ hotkey }) => hotkey === miner))
  const samples = reports.reduce((sum, report) => sum + report.samples, 0)
  const proven = reports.reduce((sum, report) => sum + report.proven, 0)
  const passed = reports.filter(({ outcome }) => outcome === 'pass').length
  if (passed !== asked.length || reports.length !== asked.length) {
    const failed = reports.find(({ outcome }) => outcome !== 'pass')
    throw new SubnetError(
      'MISMATCH',
      `${passed} of ${asked.length} miners proved what they hold: ${failed?.reason ?? ''}`,
    )
  }
  return {
    facts: { miners: passed, samples, proven },
    lines: [`${passed} miners proved ${proven} of ${samples} leaves drawn at random`],
  }
}

async function rejoin(devnet: Devnet, victims: readonly Victim[], live: Live, signal: AbortSignal) {
  await devnet.restart(
    victims.map(({ node }) => node),
    { signal, onStarted: (up, all) => live(`${up} of ${all} are up`) },
  )
  await devnet.settled(devnet.miners.length, { signal })
  const heard = (
    await Promise.all(devnet.validators.map((validator) => devnet.heard(validator, { signal })))
  ).flat()
  for (const { node, heldChunks } of victims) {
    const now = heard.find(({ hotkey }) => hotkey === node.hotkey)?.heldChunks ?? 0
    if (now < heldChunks) {
      throw new SubnetError('MISMATCH', `${node.name} held ${heldChunks} chunks and came back with ${now}`)
    }
  }
  const chunks = victims.reduce((sum, { heldChunks }) => sum + heldChunks, 0)
  return {
    facts: { rejoined: victims.map(({ node }) => ({ name: node.name, pid: node.process.pid })), chunks },
    lines: [`${victims.length} miners are back with all ${chunks} chunks they acknowledged`],
  }
}

function progress(doneBytes: number, totalBytes: number): string {
  const share = totalBytes === 0 ? 1 : doneBytes / totalBytes
  return `${bar(share, LIVE_BAR_CELLS)} ${Math.floor(share * 100)}%`
}
