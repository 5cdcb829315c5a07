/**
 * The advertiser says in the DHT what this miner holds: the nodes of manifests and of IPFS files, their roots among them,
 * always, other chunks within a budget of records, newest first. A record lives `PROVIDER_RECORD_MS`, so all leases are
 * walked again at half of that. Only leases that count are announced. What it announces next is `announcements.ts`; the walk
 * is here.
 */
import { toString as bytesToText } from 'uint8arrays'
import { decodeMessage } from '../../../protocols/common/schema.js'
import { DAG_SEGMENT, keptLeaseSchema, type Lease, MANIFEST_SEGMENT } from '../../../protocols/lease/lease.js'
import type { Behavior, Context } from '../../actor/behavior.js'
import type { Logger } from '../../base/log.js'
import type { SubnetView } from '../../chain/subnet-view.js'
import { type Net, PROVIDER_RECORD_MS } from '../../net/net.js'
import type { Shard } from '../../shard/shard.js'
import { type Announcement, NewestFirst } from './announcements.js'

export interface AdvertiserInit {
  /** Before the first walk: the node needs its first neighbours. */
  readonly startDelayMs: number
  /** From a lease that begins to count to its announcement: others of the same file come meanwhile and go with it. */
  readonly gatherMs: number
  /** Other chunks that are announced at once. Each is told to 20 nodes, which keep records of all miners. */
  readonly chunksPerTurn: number
  /** Between two turns of other chunks. */
  readonly turnMs: number
  /** Nodes that may wait, about 150 bytes each. */
  readonly nodesMax: number
}

export const ADVERTISER: AdvertiserInit = {
  startDelayMs: 10_000,
  gatherMs: 2_000,
  chunksPerTurn: 16,
  turnMs: 60_000,
  nodesMax: 65_536,
}

/** A record announced first in one round and last in the next is still renewed in time. */
const ROUND_MS = PROVIDER_RECORD_MS / 2
/** Pause after an announcement nobody took: the network is small, or this node is alone. */
const RETRY_MS = 30_000
/** Digests in one announcement: each peer gets a stream with its part of them. */
const ANNOUNCED_MAX = 128

export type AdvertiserMessage =
  /** A lease counts from now on. */
  { readonly type: 'counted'; readonly lease: Lease }

type PrivateMessage =
  | { readonly type: 'walk' }
  | { readonly type: 'walked'; readonly found: Walk | undefined }
  | { readonly type: 'gathered' }
  | { readonly type: 'announced'; readonly refused: readonly Waiting[] }
  | { readonly type: 'resume' }
  | { readonly type: 'turn' }

export interface AdvertiserComponents {
  readonly net: Pick<Net, 'provide'>
  readonly shards: { all(): Iterable<Shard> }
  readonly view: Pick<SubnetView, 'block' | 'members'>
  readonly logger: Logger
}

interface State {
  readonly nodes: NewestFirst
  readonly chunks: NewestFirst
  /** One announcement at a time: nothing waits for it. */
  announcing: boolean
  paused: boolean
  gathering: boolean
  /** Other chunks that this turn still permits. */
  chunksLeft: number
}

/** With where it goes back to when nobody took it. */
interface Waiting {
  readonly what: Announcement
  readonly lane: NewestFirst
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
  const chunksMax = Math.floor((init.chunksPerTurn * ROUND_MS) / init.turnMs)
  const behavior: Behavior<AdvertiserMessage | PrivateMessage, State> = {
    start(context) {
      context.after(init.startDelayMs, { type: 'walk' })
      return {
        nodes: new NewestFirst(init.nodesMax),
        chunks: new NewestFirst(chunksMax),
        announcing: false,
        paused: false,
        gathering: false,
        chunksLeft: init.chunksPerTurn,
      }
    },
    receive(state, message, context) {
      switch (message.type) {
        case 'counted':
          for (const { isNode, ...what } of announcementsOf(message.lease)) {
            if (isNode) state.nodes.push(what)
            else state.chunks.push(what)
          }
          if (!state.gathering) context.after(init.gatherMs, { type: 'gathered' })
          state.gathering = true
          break
        case 'gathered':
          state.gathering = false
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
          // The newest of them was the first.
          for (const { what, lane } of [...message.refused].reverse()) lane.push(what)
          if (message.refused.length > 0) {
            state.paused = true
            context.after(RETRY_MS, { type: 'resume' })
          }
          break
        case 'resume':
          state.paused = false
          break
        case 'turn':
          state.chunksLeft = init.chunksPerTurn
          break
      }
      announceNext(state, context, components, init)
    },
  }
  return behavior
}

function announceNext(
  state: State,
  context: Context<AdvertiserMessage | PrivateMessage>,
  { net, view, logger }: AdvertiserComponents,
  { chunksPerTurn, turnMs }: AdvertiserInit,
): void {
  if (state.announcing || state.paused || state.gathering) return
  const nodes = state.nodes.take(ANNOUNCED_MAX, view.block)
  const chunks = state.chunks.take(Math.min(state.chunksLeft, ANNOUNCED_MAX - nodes.length), view.block)
  if (nodes.length + chunks.length === 0) return
  if (chunks.length > 0 && state.chunksLeft === chunksPerTurn) context.after(turnMs, { type: 'turn' })
  state.chunksLeft -= chunks.length
  state.announcing = true
  const waiting: Waiting[] = [
    ...nodes.map((what) => ({ what, lane: state.nodes })),
    ...chunks.map((what) => ({ what, lane: state.chunks })),
  ]
  const peers = view.members().flatMap(({ endpoint }) => endpoint ?? [])
  context.task(
    (signal) =>
      net.provide(
        waiting.map(({ what }) => what.digest),
        peers,
        { signal },
      ),
    (outcome) => {
      if (!outcome.ok) {
        logger.warn({ err: outcome.error }, 'could not announce chunks in the DHT; it is tried again')
        return { type: 'announced', refused: waiting }
      }
      const refused = new Set(outcome.value)
      return { type: 'announced', refused: waiting.filter(({ what }) => refused.has(what.digest)) }
    },
  )
}

/** Everything that counts now, oldest lease first, as much as the queues take. */
async function walk(
  { shards, view, logger }: AdvertiserComponents,
  { nodesMax, chunksMax }: { readonly nodesMax: number; readonly chunksMax: number },
): Promise<Walk> {
  const [nodes, chunks]: [Announcement[], Announcement[]] = [[], []]
  for (const shard of shards.all()) {
    for await (const bytes of shard.leases()) {
      const lease = countedLease(bytes, logger)
      if (lease === undefined || lease.endBlock <= view.block) continue
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
