/**
 * The advertiser says in the DHT what this miner holds: the nodes of manifests and of IPFS files, their roots among them,
 * always, other chunks within a budget of records an hour, newest first. A record lives `PROVIDER_RECORD_MS`, so all leases are walked again at half of that.
 * Only leases that count are announced. What it announces next is `announcements.ts`; the walk is here.
 */
import { toString as bytesToText } from 'uint8arrays'
import { decodeMessage } from '../../../protocols/common/schema.js'
import { DAG_SEGMENT, keptLeaseSchema, type Lease, MANIFEST_SEGMENT } from '../../../protocols/lease/lease.js'
import type { Behavior, Context } from '../../actor/behavior.js'
import { isSubnetError } from '../../base/errors.js'
import type { Logger } from '../../base/log.js'
import { type Net, PROVIDER_RECORD_MS } from '../../net/net.js'
import type { Shard } from '../../shard/shard.js'
import { type Announcement, NewestFirst } from './announcements.js'

export interface AdvertiserInit {
  /** Before the first walk: the node needs its first neighbours. */
  readonly startDelayMs: number
  /** Records of other chunks that are announced in an hour; one costs about 20 messages. */
  readonly chunksPerHour: number
  /** Nodes that may wait, about 150 bytes each. */
  readonly nodesMax: number
}

export const ADVERTISER: AdvertiserInit = { startDelayMs: 10_000, chunksPerHour: 1_000, nodesMax: 65_536 }

/** A record announced first in one round and last in the next is still renewed in time. */
const ROUND_MS = PROVIDER_RECORD_MS / 2
/** Pause after an announcement nobody took: the network is small, or this node is alone. */
const RETRY_MS = 30_000
const HOUR_MS = 3_600_000

export type AdvertiserMessage =
  /** A lease counts from now on. */
  { readonly type: 'counted'; readonly lease: Lease }

type PrivateMessage =
  | { readonly type: 'walk' }
  | { readonly type: 'walked'; readonly found: Walk | undefined }
  | {
      readonly type: 'announced'
      readonly failed?: { readonly lane: NewestFirst; readonly what: Announcement }
    }
  | { readonly type: 'resume' }
  | { readonly type: 'chunk-due' }

export interface AdvertiserComponents {
  readonly net: Pick<Net, 'provide'>
  readonly shards: { all(): Iterable<Shard> }
  /** Our newest head. */
  readonly head: { readonly block: number }
  readonly logger: Logger
}

interface State {
  readonly nodes: NewestFirst
  readonly chunks: NewestFirst
  /** One record at a time: nothing waits for it. */
  announcing: boolean
  paused: boolean
  /** The budget permits one more chunk. */
  chunkDue: boolean
}

interface LaneAnnouncement extends Announcement {
  readonly isNode: boolean
}

interface Walk {
  readonly nodes: readonly Announcement[]
  readonly chunks: readonly Announcement[]
}

export function advertiser(
  components: AdvertiserComponents,
  init: AdvertiserInit = ADVERTISER,
): Behavior<AdvertiserMessage> {
  const { logger } = components
  // As many as one round can announce within the budget.
  const chunksMax = Math.floor((init.chunksPerHour * ROUND_MS) / HOUR_MS)
  const behavior: Behavior<AdvertiserMessage | PrivateMessage, State> = {
    start(context) {
      context.after(init.startDelayMs, { type: 'walk' })
      const [nodes, chunks] = [new NewestFirst(init.nodesMax), new NewestFirst(chunksMax)]
      return { nodes, chunks, announcing: false, paused: false, chunkDue: true }
    },
    receive(state, message, context) {
      switch (message.type) {
        case 'counted':
          for (const { isNode, ...what } of announcementsOf(message.lease)) {
            if (isNode) state.nodes.push(what)
            else state.chunks.push(what)
          }
          break
        case 'walk':
          context.task(
            () => walk(components, { nodesMax: init.nodesMax, chunksMax }),
            (outcome) => {
              if (!outcome.ok)
                logger.warn({ err: outcome.error }, 'could not walk the leases to announce them')
              return { type: 'walked', found: outcome.ok ? outcome.value : undefined }
            },
          )
          break
        case 'walked':
          context.after(message.found === undefined ? RETRY_MS : ROUND_MS, { type: 'walk' })
          state.nodes.pushOlder(message.found?.nodes ?? [])
          state.chunks.pushOlder(message.found?.chunks ?? [])
          break
        case 'announced':
          state.announcing = false
          if (message.failed !== undefined) {
            message.failed.lane.push(message.failed.what)
            state.paused = true
            context.after(RETRY_MS, { type: 'resume' })
          }
          break
        case 'resume':
          state.paused = false
          break
        case 'chunk-due':
          state.chunkDue = true
          break
      }
      announceNext(state, context, components, HOUR_MS / init.chunksPerHour)
    },
  }
  return behavior
}

function announceNext(
  state: State,
  context: Context<AdvertiserMessage | PrivateMessage>,
  { net, head, logger }: AdvertiserComponents,
  chunkPauseMs: number,
): void {
  if (state.announcing || state.paused) return
  const node = state.nodes.pop(head.block)
  const what = node ?? (state.chunkDue ? state.chunks.pop(head.block) : undefined)
  if (what === undefined) return
  const lane = node === undefined ? state.chunks : state.nodes
  if (node === undefined) {
    state.chunkDue = false
    context.after(chunkPauseMs, { type: 'chunk-due' })
  }
  state.announcing = true
  context.task(
    (signal) => net.provide(what.digest, { signal }),
    (outcome) => {
      if (outcome.ok) return { type: 'announced' }
      // A node that is alone says so every time; anything else an operator may want to know.
      const level = isSubnetError(outcome.error, 'TOO_FEW_PEERS') ? 'debug' : 'warn'
      logger[level]({ err: outcome.error }, 'could not announce a chunk in the DHT; it is tried again')
      return { type: 'announced', failed: { lane, what } }
    },
  )
}

/** Everything that counts now, oldest lease first, as much as the queues take. */
async function walk(
  { shards, head, logger }: AdvertiserComponents,
  { nodesMax, chunksMax }: { readonly nodesMax: number; readonly chunksMax: number },
): Promise<Walk> {
  const [nodes, chunks]: [Announcement[], Announcement[]] = [[], []]
  for (const shard of shards.all()) {
    for await (const bytes of shard.leases()) {
      const lease = countedLease(bytes, logger)
      if (lease === undefined || lease.endBlock <= head.block) continue
      for (const { isNode, ...what } of announcementsOf(lease)) (isNode ? nodes : chunks).push(what)
      // Not all of a large miner's digests at once; the newest stay.
      keepNewest(nodes, 2 * nodesMax, nodesMax)
      keepNewest(chunks, 2 * chunksMax, chunksMax)
    }
  }
  keepNewest(nodes, 0, nodesMax)
  keepNewest(chunks, 0, chunksMax)
  return { nodes, chunks }
}

function keepNewest(list: Announcement[], above: number, max: number): void {
  if (list.length <= above) return
  list.sort((a, b) => a.startBlock - b.startBlock)
  list.splice(0, Math.max(0, list.length - max))
}

function countedLease(bytes: Uint8Array, logger: Logger): Lease | undefined {
  try {
    const kept = decodeMessage(keptLeaseSchema, bytes, 'kept lease')
    return kept.validatorSignature === undefined ? undefined : kept.lease
  } catch (error) {
    // One lease that cannot be read must not keep the others from being found.
    logger.warn({ err: error }, 'a kept lease is not readable and is not announced')
    return undefined
  }
}

/** Each digest once; one that is a node too, such as the only leaf of a file, is announced as that. */
function announcementsOf({ entries, startBlock, endBlock }: Lease): LaneAnnouncement[] {
  const announcements = new Map<string, LaneAnnouncement>()
  for (const [digest, , , segment] of entries) {
    const key = bytesToText(digest, 'base64')
    const isNode = segment === MANIFEST_SEGMENT || segment === DAG_SEGMENT
    if (isNode || !announcements.has(key))
      announcements.set(key, { key, digest, startBlock, endBlock, isNode })
  }
  return [...announcements.values()]
}
