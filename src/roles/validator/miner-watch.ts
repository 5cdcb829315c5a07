/**
 * Keeps an eye on every miner: one child per miner asks for its capacity and hands over countersignatures that wait.
 * What placement may count on is what answered lately.
 */

import type { Capacity } from '../../../protocols/capacity/messages.js'
import { sameKey } from '../../../protocols/common/signed.js'
import type { KnownPeer } from '../../../protocols/hello/sessions.js'
import type { Behavior, Ref, Reply } from '../../actor/behavior.js'
import type { ActorSpec } from '../../actor/supervision.js'
import type { Member } from '../../chain/subnet-view.js'

/**
 * First visits to a miner that follow each other quickly, until it offers room. One that has a permit since this epoch comes to
 * miners that may be a block behind, or have no share of their disk for it yet; after these it is as it says.
 */
const FIRST_VISITS = 8
const FIRST_PAUSE_MS = 1_000

/** What a miner last said of itself. */
export interface WatchedMiner {
  readonly member: Member & { readonly endpoint: NonNullable<Member['endpoint']> }
  readonly capacity: Capacity
}

export interface LiveMiners {
  /** Those that answered their last question. */
  readonly miners: readonly WatchedMiner[]
  /** How many have offered no room yet and are on their first visits: there may be more in a moment. */
  readonly unsettled: number
}

export type MinerWatchMessage =
  /** The subnet's miners, with their addresses, as of a new metagraph. */
  | { readonly type: 'members'; readonly members: readonly WatchedMiner['member'][] }
  /** Ask this miner now: something has changed there. */
  | { readonly type: 'look'; readonly hotkey: string }
  | { readonly type: 'live'; readonly reply: Reply<LiveMiners> }

export interface MinerWatchComponents {
  /** Asks one miner, and gives it what waits for it. The watch owns the deadline. */
  readonly visit: (miner: KnownPeer, signal: AbortSignal) => Promise<Capacity>
}

export interface MinerWatchInit {
  /** Between two questions to a miner. */
  readonly intervalMs: number
}

type PrivateMessage = {
  readonly type: 'visited'
  readonly hotkey: string
  /** Absent: it did not answer. */
  readonly capacity: Capacity | undefined
  readonly settled: boolean
}

interface Watched {
  member: WatchedMiner['member']
  capacity: Capacity | undefined
  settled: boolean
  readonly visitor: Ref<VisitorMessage>
}

type VisitorMessage =
  | { readonly type: 'go' }
  | { readonly type: 'move'; readonly peer: KnownPeer }
  | { readonly type: 'leave' }

export function minerWatch(
  components: MinerWatchComponents,
  init: MinerWatchInit,
): Behavior<MinerWatchMessage> {
  const behavior: Behavior<MinerWatchMessage | PrivateMessage, Map<string, Watched>> = {
    start: () => new Map(),
    receive(watched, message, context) {
      switch (message.type) {
        case 'members': {
          const hotkeys = new Set(message.members.map(({ hotkey }) => hotkey))
          for (const [hotkey, { visitor }] of watched) {
            if (hotkeys.has(hotkey)) continue
            visitor.send({ type: 'leave' })
            watched.delete(hotkey)
          }
          for (const member of message.members) {
            const known = watched.get(member.hotkey)
            const peer = knownPeer(member)
            if (known === undefined) {
              const visitor = context.spawn(visitorSpec(member.hotkey, peer, components, init, context.self))
              watched.set(member.hotkey, { member, capacity: undefined, settled: false, visitor })
              continue
            }
            if (moved(known.member, member)) {
              known.visitor.send({ type: 'move', peer })
              // There it has not answered yet.
              known.capacity = undefined
              known.settled = false
            }
            known.member = member
          }
          break
        }
        case 'look':
          watched.get(message.hotkey)?.visitor.send({ type: 'go' })
          break
        case 'live':
          message.reply.answer({
            miners: [...watched.values()].flatMap(({ member, capacity }) =>
              capacity === undefined ? [] : [{ member, capacity }],
            ),
            unsettled: [...watched.values()].filter(({ settled }) => !settled).length,
          })
          break
        case 'visited': {
          const known = watched.get(message.hotkey)
          if (known === undefined) break
          known.capacity = message.capacity
          known.settled = message.settled
          break
        }
      }
    },
  }
  return behavior
}

function knownPeer(member: WatchedMiner['member']): KnownPeer {
  return { ...member.endpoint, hotkey: member.publicKey }
}

function moved(before: WatchedMiner['member'], after: WatchedMiner['member']): boolean {
  return (
    before.endpoint.peerId !== after.endpoint.peerId ||
    before.endpoint.addresses.join() !== after.endpoint.addresses.join() ||
    !sameKey(before.publicKey, after.publicKey)
  )
}

type VisitorPrivate = { readonly type: 'done'; readonly capacity: Capacity | undefined }

interface VisitorState {
  peer: KnownPeer
  visiting: boolean
  again: boolean
  /** How many are left. */
  firstVisits: number
  cancelNext: () => void
}

/** One visit at a time, the next an interval after the last, sooner at first, or at once when something has changed. */
function visitorSpec(
  hotkey: string,
  firstPeer: KnownPeer,
  components: MinerWatchComponents,
  init: MinerWatchInit,
  watch: Ref<PrivateMessage>,
): ActorSpec<VisitorMessage> {
  const behavior: Behavior<VisitorMessage | VisitorPrivate, VisitorState> = {
    start: (context) => {
      context.after(0, { type: 'go' })
      return {
        peer: firstPeer,
        visiting: false,
        again: false,
        firstVisits: FIRST_VISITS,
        cancelNext: () => undefined,
      }
    },
    receive(state, message, context) {
      switch (message.type) {
        case 'leave':
          context.stopSelf()
          return
        case 'done': {
          const { capacity } = message
          const offersRoom = capacity !== undefined && capacity.freeBytes > 0
          state.firstVisits = offersRoom ? 0 : Math.max(0, state.firstVisits - 1)
          const settled = state.firstVisits === 0
          watch.send({ type: 'visited', hotkey, capacity, settled })
          state.visiting = false
          if (!state.again) {
            const pauseMs = settled ? init.intervalMs : Math.min(FIRST_PAUSE_MS, init.intervalMs)
            state.cancelNext = context.after(pauseMs, { type: 'go' }).cancel
            return
          }
          break
        }
        case 'move':
          state.peer = message.peer
          state.firstVisits = FIRST_VISITS
          break
        case 'go':
          break
      }
      if (state.visiting) {
        state.again = true
        return
      }
      state.cancelNext()
      state.again = false
      state.visiting = true
      context.task(
        (signal) => components.visit(state.peer, signal),
        (outcome) => ({ type: 'done', capacity: outcome.ok ? outcome.value : undefined }),
      )
    },
  }
  return {
    id: hotkey,
    behavior,
    restart: 'transient',
    mailbox: {
      max: 8,
      policy: 'conflate',
      key: (message) => (message.type === 'move' ? undefined : message.type),
    },
    tasksMax: 2,
  }
}
