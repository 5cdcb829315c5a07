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

/** What a miner last said of itself. */
export interface WatchedMiner {
  readonly member: Member & { readonly endpoint: NonNullable<Member['endpoint']> }
  readonly capacity: Capacity
}

export type MinerWatchMessage =
  /** The subnet's miners, with their addresses, as of a new metagraph. */
  | { readonly type: 'members'; readonly members: readonly WatchedMiner['member'][] }
  /** Ask this miner now: something has changed there. */
  | { readonly type: 'look'; readonly hotkey: string }
  /** Miners that answered their last question. */
  | { readonly type: 'live'; readonly reply: Reply<readonly WatchedMiner[]> }

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
}

interface Watched {
  member: WatchedMiner['member']
  capacity: Capacity | undefined
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
              watched.set(member.hotkey, { member, capacity: undefined, visitor })
              continue
            }
            if (moved(known.member, member)) known.visitor.send({ type: 'move', peer })
            known.member = member
          }
          break
        }
        case 'look':
          watched.get(message.hotkey)?.visitor.send({ type: 'go' })
          break
        case 'live':
          message.reply.answer(
            [...watched.values()].flatMap(({ member, capacity }) =>
              capacity === undefined ? [] : [{ member, capacity }],
            ),
          )
          break
        case 'visited': {
          const known = watched.get(message.hotkey)
          if (known !== undefined) known.capacity = message.capacity
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

/** One visit at a time, the next an interval after the last, or at once when something has changed. */
function visitorSpec(
  hotkey: string,
  firstPeer: KnownPeer,
  components: MinerWatchComponents,
  init: MinerWatchInit,
  watch: Ref<PrivateMessage>,
): ActorSpec<VisitorMessage> {
  interface State {
    peer: KnownPeer
    visiting: boolean
    again: boolean
    cancelNext: () => void
  }
  const behavior: Behavior<VisitorMessage | VisitorPrivate, State> = {
    start: (context) => {
      context.after(0, { type: 'go' })
      return { peer: firstPeer, visiting: false, again: false, cancelNext: () => undefined }
    },
    receive(state, message, context) {
      switch (message.type) {
        case 'leave':
          context.stopSelf()
          return
        case 'done':
          watch.send({ type: 'visited', hotkey, capacity: message.capacity })
          state.visiting = false
          if (!state.again) {
            state.cancelNext = context.after(init.intervalMs, { type: 'go' }).cancel
            return
          }
          break
        case 'move':
          state.peer = message.peer
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
