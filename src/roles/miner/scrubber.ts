/**
 * The scrubber reads every chunk again once in a period, one at a time and no faster than that needs: what rots unseen
 * is found before it is asked for. Where it was is written down now and then, so that a restart repeats minutes.
 */
import type { Behavior } from '../../actor/behavior.js'
import { type PeriodicMessage, periodic } from '../../actor/periodic.js'
import type { Clock } from '../../base/clock.js'
import type { Logger } from '../../base/log.js'
import type { Random } from '../../base/random.js'
import type { Shard } from '../../shard/shard.js'
import { drawShard, nextChunk } from './drawn-chunk.js'
import type { Inspector } from './inspector.js'

export interface ScrubberComponents {
  readonly shards: { all(): Iterable<Shard> }
  readonly inspector: Pick<Inspector, 'inspect'>
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

export interface ScrubberInit {
  /** In which every chunk is read once. */
  readonly periodMs: number
}

/** Between two notes of where a scrub is: each is a synced write. */
const NOTE_INTERVAL_MS = 10 * 60_000
/** Longest pause: what comes in meanwhile changes the pace. */
const PAUSE_MAX_MS = 3_600_000
/** After a start, and after a round that could not read. */
const FIRST_PAUSE_MS = 60_000

export function scrubber(components: ScrubberComponents, init: ScrubberInit): Behavior<PeriodicMessage> {
  const walks = new WeakMap<Shard, Walk>()
  return periodic({
    firstPauseMs: FIRST_PAUSE_MS,
    run: () => scrubNext(components, init, walks),
    onFailure: (error) => {
      components.logger.warn({ err: error }, 'could not scrub; it is tried again')
      return FIRST_PAUSE_MS
    },
  })
}

/** Where a scrub is in one shard. */
interface Walk {
  at: Uint8Array | undefined
  notedMs: number
}

/** Reads the next chunk of a shard and says how long to wait for the one after. */
export async function scrubNext(
  components: ScrubberComponents,
  { periodMs }: ScrubberInit,
  walks: WeakMap<Shard, Walk>,
): Promise<number> {
  const { shards, inspector, clock } = components
  const all = [...shards.all()]
  const heldBytes = all.reduce((sum, shard) => sum + shard.usage().bytes, 0)
  // All are through at the same time.
  const shard = drawShard(all, components.random)
  if (shard === undefined) return PAUSE_MAX_MS
  const walk = walks.get(shard) ?? { at: await shard.scrubbed(), notedMs: clock.monotonicMs() }
  walks.set(shard, walk)
  const next = await nextChunk(shard, walk.at)
  if (next === undefined) return PAUSE_MAX_MS
  // Not passed over when the disk is away: the walk goes on from here when it is back.
  if ((await inspector.inspect(shard, next.digest)) === 'unsure') return FIRST_PAUSE_MS
  walk.at = next.digest
  if (clock.monotonicMs() - walk.notedMs >= NOTE_INTERVAL_MS) {
    await shard.markScrubbed(next.digest)
    walk.notedMs = clock.monotonicMs()
  }
  return Math.min(PAUSE_MAX_MS, (periodMs * next.sizeBytes) / heldBytes)
}
