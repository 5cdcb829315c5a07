/**
 * What keeps a node from working, before or while it runs: each precondition looked at on its own, with what to do. It
 * registers nothing, makes nothing and changes nothing but a file that it writes and removes to see that the disk works.
 */
import { access, mkdtemp, open, rm, statfs } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { deadline } from '../base/abort.js'
import type { Clock } from '../base/clock.js'
import { isSubnetError, toSubnetError } from '../base/errors.js'
import type { Logger } from '../base/log.js'
import type { Random } from '../base/random.js'
import { formatBytes } from '../base/units.js'
import type { Chain } from '../chain/chain.js'
import { connectChain } from '../chain/endpoint.js'
import type { WalletLocation } from '../chain/wallet.js'
import { cryptoReady } from '../crypto/keys.js'
import { listenFailure, tcpAddressOf } from '../net/listening.js'
import { dataLock, IN_USE } from '../shard/data-lock.js'
import { DISK_RESERVE_BYTES } from '../shard/partition.js'
import { DATA_LAYOUT, readDataStamp } from './data-stamp.js'
import { checkColdkey, checkMember } from './doctor-member.js'
import { type Finding, failed, ok, skipped } from './finding.js'

export interface DoctorInit {
  readonly role: 'miner' | 'validator'
  /** Endpoint, or a started chain. */
  readonly chain: string | Chain
  readonly netuid: number
  readonly dataPath: string
  readonly wallet?: WalletLocation
  /** Multiaddr. */
  readonly listen: string
  /** Miner: bytes it is to offer. */
  readonly capacityBytes?: number
}

export interface DoctorComponents {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

const CHAIN_TIMEOUT_MS = 5_000
/** `data.reason` of a chain that is none of those it is taken for. */
const OTHER_CHAIN: ReadonlySet<string> = new Set(['WrongGenesis', 'PublicGenesis', 'GenesisChanged'])
/** A chain that makes no block in so many times its block time stands still. */
const BLOCKS_LATE_MAX = 3
/** Wall clock against monotonic clock over a block or two: more is somebody setting the clock. */
const CLOCK_STEP_MS_MAX = 500

/** All findings, in the order in which to set things right. */
export async function examine(components: DoctorComponents, init: DoctorInit): Promise<Finding[]> {
  await cryptoReady()
  const { inUse, finding: directory } = await checkDirectory(init)
  const local = [directory, await checkDisk(init), await checkPort(init, inUse), await checkColdkey(init)]
  return [...local, ...(await checkChain(components, init))]
}

async function checkDirectory({ dataPath, role }: DoctorInit): Promise<{ inUse: boolean; finding: Finding }> {
  const check = 'directory'
  try {
    const stamp = await readDataStamp(dataPath)
    const inUse = stamp !== undefined && (await isLocked(dataPath))
    if (stamp !== undefined && (stamp.role !== role || stamp.layout !== DATA_LAYOUT)) {
      const text = `${dataPath} is of a ${stamp.role} with data layout ${stamp.layout}, not ${role} with ${DATA_LAYOUT}`
      return { inUse, finding: failed(check, text, 'name another directory with --node_name', 'DATA_DIR') }
    }
    const state =
      stamp === undefined ? 'not used yet' : inUse ? 'a node is running in it' : 'no node is running in it'
    return { inUse, finding: ok(check, `${dataPath}: ${state}`) }
  } catch (error) {
    const { code, message } = toSubnetError(error)
    return {
      inUse: false,
      finding: failed(check, message, 'restore it, or name another with --node_name', code),
    }
  }
}

async function isLocked(path: string): Promise<boolean> {
  const lock = dataLock(path)
  try {
    await lock.start()
    return false
  } catch (error) {
    if (isSubnetError(error, 'DATA_DIR') && error.data.reason === IN_USE) return true
    throw error
  } finally {
    await lock.stop()
  }
}

/** Writes, syncs and removes a file; the room is what is free beyond what a miner never takes. */
async function checkDisk({ dataPath, role, capacityBytes }: DoctorInit): Promise<Finding> {
  const check = 'disk'
  const directory = await nearestExisting(dataPath)
  try {
    const probe = await mkdtemp(join(directory, '.doctor-'))
    try {
      const file = await open(join(probe, 'probe'), 'w', 0o600)
      await file.writeFile('probe').finally(() => file.close())
    } finally {
      await rm(probe, { recursive: true })
    }
    const { bavail, bsize } = await statfs(directory)
    const freeBytes = bavail * bsize
    const neededBytes = DISK_RESERVE_BYTES + (role === 'miner' ? (capacityBytes ?? 0) : 0)
    const text = `${directory}: writable, ${formatBytes(freeBytes)} free`
    if (freeBytes >= neededBytes) return ok(check, text)
    const remedy = `make room, or offer less with --capacity: ${formatBytes(neededBytes)} are needed, its reserve included`
    return failed(check, text, remedy, 'DISK')
  } catch (error) {
    return failed(
      check,
      `${directory} cannot be written: ${textOf(error)}`,
      'see to the disk and its owner',
      'DISK',
    )
  }
}

async function nearestExisting(path: string): Promise<string> {
  for (let at = path; ; at = dirname(at)) {
    const exists = await access(at).then(
      () => true,
      () => false,
    )
    if (exists || dirname(at) === at) return at
  }
}

async function checkPort({ listen }: DoctorInit, inUse: boolean): Promise<Finding> {
  const check = 'port'
  const address = tcpAddressOf(listen)
  if (address === undefined)
    return failed(
      check,
      `${listen} is no address to listen on`,
      'write it as /ip4/0.0.0.0/tcp/4001',
      'CONFIG',
    )
  const failure = await listenFailure(address)
  if (failure === undefined) return ok(check, `${listen} can be listened on`)
  const reason = failure.code ?? failure.message
  if (reason === 'EADDRINUSE' && inUse)
    return ok(check, `${listen} is in use, as it should be: the node is running`)
  const remedy =
    reason === 'EADDRINUSE'
      ? 'end the program that listens there, or choose another port with --listen'
      : 'choose an address of this machine, and a port that this user may use, with --listen'
  return failed(check, `${listen} cannot be listened on: ${reason}`, remedy, 'CONFIG')
}

async function checkChain(components: DoctorComponents, init: DoctorInit): Promise<Finding[]> {
  const { clock } = components
  const given = init.chain
  if (typeof given !== 'string') return await onChain(components, init, given)
  // Its own patience says what it tried; whatever else it waits for on the way ends with the deadline.
  using scope = deadline(clock, 2 * CHAIN_TIMEOUT_MS, `the chain at ${given}`)
  let chain: Chain
  try {
    chain = connectChain(given, components, { netuid: init.netuid, startTimeoutMs: CHAIN_TIMEOUT_MS })
    await chain.start({ signal: scope.signal })
  } catch (error) {
    return [noChain(error)]
  }
  try {
    return await onChain(components, init, chain)
  } finally {
    await chain.stop()
  }
}

/** Which of them it is that fails, of those that need no more than a connection. */
function noChain(error: unknown): Finding {
  const { code, message, data } = toSubnetError(error)
  const reason = String(data.reason)
  if (OTHER_CHAIN.has(reason)) {
    const remedy =
      'name an endpoint of the network that you mean with --subtensor.chain_endpoint, or another network with --subtensor.network'
    return failed('genesis', message, remedy, 'CONFIG')
  }
  if (reason === 'SubnetNotExists')
    return failed('subnet', message, 'check --netuid: "subnet list" shows which there are', 'CONFIG')
  const remedy =
    'check --subtensor.chain_endpoint; for a chain of this machine start a node, or subnet-node devchain'
  return failed('chain', message, remedy, code === 'CONFIG' ? 'CONFIG' : 'CHAIN_UNAVAILABLE')
}

async function onChain({ clock }: DoctorComponents, init: DoctorInit, chain: Chain): Promise<Finding[]> {
  const { netuid, genesisHash, blockMs } = chain.constants
  const { number: block } = await chain.head()
  const findings = [ok('chain', `answers, block ${block}`)]
  findings.push(
    netuid === init.netuid
      ? ok('subnet', `${netuid}`)
      : failed('subnet', `the chain is of subnet ${netuid}, not ${init.netuid}`, 'check --netuid', 'CONFIG'),
  )
  // A stamp that cannot be read was named above.
  const stamp = await readDataStamp(init.dataPath).catch(() => undefined)
  const text = `the directory holds data of the chain ${stamp?.genesisHash}, this one is ${genesisHash}`
  const remedy = 'go back to that chain, or begin a new directory with --node_name'
  if (stamp === undefined) findings.push(skipped('genesis', 'the directory belongs to no chain yet'))
  else if (stamp.genesisHash === genesisHash) findings.push(ok('genesis', 'the directory is of this chain'))
  else findings.push(failed('genesis', text, remedy, 'DATA_DIR'))
  findings.push(...(await checkMember(init, chain)))
  findings.push(...(await checkTime(clock, chain, blockMs)))
  return findings
}

/** Blocks carry no time of day, so it is their pace that is compared, and this machine's two clocks with each other. */
async function checkTime(clock: Clock, chain: Chain, blockMs: number): Promise<Finding[]> {
  const wallMs = clock.nowMs() - clock.monotonicMs()
  const startMs = clock.monotonicMs()
  const lateMs = BLOCKS_LATE_MAX * blockMs
  const seen = await new Promise<boolean>((resolve) => {
    const timer = clock.after(lateMs, () => done(false))
    const unregister = chain.onHead(() => done(true))
    const done = (came: boolean) => {
      timer.cancel()
      unregister()
      resolve(came)
    }
  })
  const tookMs = Math.round(clock.monotonicMs() - startMs)
  const blocks = seen
    ? ok('blocks', `a new one after ${tookMs} ms; the chain makes one every ${blockMs} ms`)
    : failed('blocks', `no new one in ${lateMs} ms`, 'the chain stands still: see to it', 'CHAIN_UNAVAILABLE')
  const stepMs = Math.abs(clock.nowMs() - clock.monotonicMs() - wallMs)
  if (stepMs <= CLOCK_STEP_MS_MAX) return [blocks, ok('clock', `runs evenly over ${tookMs} ms`)]
  const text = `the time of day moved by ${Math.round(stepMs)} ms against the machine's own clock`
  return [blocks, failed('clock', text, 'have one program set the clock, steadily (NTP)', 'CONFIG')]
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
