import assert from 'node:assert/strict'
import type { Capacity } from '../../../../protocols/capacity/messages.js'
import type { KnownPeer } from '../../../../protocols/hello/sessions.js'
import type { Behavior } from '../../../../src/actor/behavior.js'
import { ActorSystem } from '../../../../src/actor/system.js'
import { silentLogger } from '../../../../src/base/log.js'
import type { Member } from '../../../../src/chain/subnet-view.js'
import {
  type MinerWatchMessage,
  minerWatch,
  type WatchedMiner,
} from '../../../../src/roles/validator/miner-watch.js'
import { FakeClock, turn } from '../../../kit/fake-clock.js'
import { deferred, specOf } from '../../../kit/probe-actor.js'
import { RecordingContext } from '../../../kit/recording-context.js'
import { NO_SCORES } from '../../../kit/test-subnet.js'

type MinerMember = WatchedMiner['member']
type VisitorMessage =
  | { readonly type: 'go' }
  | { readonly type: 'leave' }
  | { readonly type: 'move'; readonly peer: KnownPeer }

const INTERVAL_MS = 10_000
const CAPACITY: Capacity = { budgetBytes: 4, heldBytes: 3, heldChunks: 2, freeBytes: 1 }

function member(
  number: number,
  fields: Partial<Member> = {},
  address = `/ip4/127.0.0.1/tcp/${number}`,
): MinerMember {
  return {
    uid: number,
    hotkey: `miner ${number}`,
    coldkey: `cold ${number}`,
    stakeRao: 0n,
    validatorPermit: false,
    registeredAtBlock: 0,
    ...NO_SCORES,
    publicKey: new Uint8Array(32).fill(number),
    ...fields,
    endpoint: { peerId: `peer ${number}`, addresses: [address] },
  }
}

/** The watch by hand, with the peers it visits. */
function setUp() {
  const visits: KnownPeer[] = []
  const visit = async (peer: KnownPeer) => {
    visits.push(peer)
    return CAPACITY
  }
  const watch = new RecordingContext<MinerWatchMessage>(minerWatch({ visit }, { intervalMs: INTERVAL_MS }))
  const live = () => {
    const { outcome } = watch.ask('live', {})
    assert.ok(outcome?.ok)
    return outcome.value.miners
  }
  /** Has the last spawned visitor started, by hand too. */
  const visitor = () => {
    const behavior = watch.children.at(-1)?.spec.behavior as unknown as Behavior<VisitorMessage>
    const actor = new RecordingContext(behavior)
    const report = () => {
      for (const message of watch.self.sent.splice(0)) watch.send(message as never)
    }
    return { actor, report }
  }
  return { watch, visits, live, visitor }
}

describe('minerWatch', () => {
  it('spawns one visitor for every miner, and no second one', () => {
    const { watch } = setUp()
    watch.send({ type: 'members', members: [member(1), member(2)] })
    watch.send({ type: 'members', members: [member(2), member(1), member(3)] })
    assert.deepEqual(
      watch.children.map(({ spec }) => spec.id),
      ['miner 1', 'miner 2', 'miner 3'],
    )
    assert.ok(
      watch.children.every(({ ref }) => ref.sent.length === 0),
      'nothing has changed for them',
    )
  })

  it('tells a visitor where its miner has moved', () => {
    const { watch } = setUp()
    watch.send({ type: 'members', members: [member(1)] })
    const moved = member(1, {}, '/ip4/127.0.0.1/tcp/99')
    watch.send({ type: 'members', members: [moved] })
    const peer = { ...moved.endpoint, hotkey: moved.publicKey }
    assert.deepEqual(watch.children[0]?.ref.sent, [{ type: 'move', peer }])
  })

  it('has not heard a miner that has moved until it answers there', () => {
    const { watch, live, visitor } = setUp()
    watch.send({ type: 'members', members: [member(1)] })
    const { actor, report } = visitor()
    actor.timers[0]?.fire()
    actor.tasks[0]?.succeed(CAPACITY)
    report()
    const moved = member(1, {}, '/ip4/127.0.0.1/tcp/99')
    watch.send({ type: 'members', members: [moved] })
    assert.deepEqual(live(), [])
    for (const message of watch.children[0]?.ref.sent ?? []) actor.send(message as VisitorMessage)
    actor.tasks[1]?.succeed(CAPACITY)
    report()
    assert.deepEqual(live(), [{ member: moved, capacity: CAPACITY }])
  })

  it('says nothing to a visitor when only stake or uid changed, and shows the new member', () => {
    const { watch, live, visitor } = setUp()
    watch.send({ type: 'members', members: [member(1)] })
    const { actor, report } = visitor()
    actor.timers[0]?.fire()
    actor.tasks[0]?.succeed(CAPACITY)
    report()
    watch.send({ type: 'members', members: [member(1, { stakeRao: 5n })] })
    assert.deepEqual(watch.children[0]?.ref.sent, [])
    assert.equal(live()[0]?.member.stakeRao, 5n)
  })

  it('sends the visitor of a miner that left away and forgets what it said', () => {
    const { watch, live, visitor } = setUp()
    watch.send({ type: 'members', members: [member(1)] })
    const { actor, report } = visitor()
    actor.timers[0]?.fire()
    actor.tasks[0]?.succeed(CAPACITY)
    report()
    assert.equal(live().length, 1)
    watch.send({ type: 'members', members: [] })
    assert.deepEqual(watch.children[0]?.ref.sent, [{ type: 'leave' }])
    assert.deepEqual(live(), [])
    watch.send({ type: 'members', members: [member(1)] })
    assert.equal(watch.children.length, 2, 'a new visitor when it comes back')
    assert.deepEqual(live(), [], 'which has not asked yet')
  })

  it('ignores what a visit to a miner that left showed', () => {
    const { watch, live, visitor } = setUp()
    watch.send({ type: 'members', members: [member(1)] })
    const { actor, report } = visitor()
    actor.timers[0]?.fire()
    watch.send({ type: 'members', members: [] })
    actor.tasks[0]?.succeed(CAPACITY)
    report()
    assert.deepEqual(live(), [])
  })

  it('shows as live who answered its last question, and nobody else', () => {
    const { watch, live, visitor } = setUp()
    watch.send({ type: 'members', members: [member(1)] })
    const { actor, report } = visitor()
    assert.deepEqual(live(), [])
    actor.timers[0]?.fire()
    actor.tasks[0]?.succeed(CAPACITY)
    report()
    assert.deepEqual(live(), [{ member: member(1), capacity: CAPACITY }])
    actor.timers[1]?.fire()
    actor.tasks[1]?.fail(new Error('gone'))
    report()
    assert.deepEqual(live(), [], 'a failing visit removes it')
    actor.timers[2]?.fire()
    actor.tasks[2]?.succeed(CAPACITY)
    report()
    assert.equal(live().length, 1, 'and the next good one brings it back')
  })

  it('counts as unsettled who has offered no room yet, through its first visits', () => {
    const { watch, visitor } = setUp()
    const unsettled = () => {
      const { outcome } = watch.ask('live', {})
      assert.ok(outcome?.ok)
      return outcome.value.unsettled
    }
    watch.send({ type: 'members', members: [member(1), member(2)] })
    const { actor, report } = visitor()
    const answers = [undefined, { ...CAPACITY, freeBytes: 0 }, CAPACITY, undefined]
    const seen = answers.map((answer, visit) => {
      actor.timers[visit]?.fire()
      if (answer === undefined) actor.tasks[visit]?.fail(new Error('no permit'))
      else actor.tasks[visit]?.succeed(answer)
      report()
      return unsettled()
    })
    assert.deepEqual(seen, [2, 2, 1, 1], 'what it says after that is as it is')
    watch.send({ type: 'members', members: [] })
    assert.equal(unsettled(), 0)
  })

  it('passes a look on to the visitor, and ignores one at a stranger', () => {
    const { watch } = setUp()
    watch.send({ type: 'members', members: [member(1)] })
    watch.send({ type: 'look', hotkey: 'miner 1' })
    watch.send({ type: 'look', hotkey: 'nobody' })
    assert.deepEqual(watch.children[0]?.ref.sent, [{ type: 'go' }])
  })
})

describe('minerWatch: a visitor', () => {
  function start() {
    const set = setUp()
    set.watch.send({ type: 'members', members: [member(1)] })
    const { actor } = set.visitor()
    const pending = () => actor.timers.filter((timer) => timer.pending).map(({ delayMs }) => delayMs)
    return { ...set, actor, pending }
  }

  it('goes at once, then an interval after each visit', async () => {
    const { actor, pending, visits } = start()
    assert.deepEqual(pending(), [0])
    actor.timers[0]?.fire()
    assert.deepEqual(pending(), [], 'no visit is due while one goes on')
    await actor.tasks[0]?.run()
    assert.deepEqual(pending(), [INTERVAL_MS])
    actor.timers[1]?.fire()
    await actor.tasks[1]?.run()
    assert.equal(visits.length, 2)
  })

  it('goes again soon while no room is offered, a few times', () => {
    const { actor, pending } = start()
    const pauses = Array.from({ length: 10 }, (_, visit) => {
      actor.timers[visit]?.fire()
      actor.tasks[visit]?.fail(new Error('no permit'))
      return pending()
    })
    assert.deepEqual(pauses, [...Array(7).fill([1_000]), ...Array(3).fill([INTERVAL_MS])])
  })

  it('goes now when told to, and the interval begins anew', async () => {
    const { actor, pending } = start()
    actor.timers[0]?.fire()
    await actor.tasks[0]?.run()
    actor.send({ type: 'go' })
    assert.deepEqual(pending(), [])
    await actor.tasks[1]?.run()
    assert.deepEqual(pending(), [INTERVAL_MS])
  })

  it('goes again after the visit it is on, once however often it was told', async () => {
    const { actor, pending } = start()
    actor.timers[0]?.fire()
    actor.send({ type: 'go' })
    actor.send({ type: 'go' })
    assert.equal(actor.tasks.length, 1, 'one visit at a time')
    await actor.tasks[0]?.run()
    assert.equal(actor.tasks.length, 2)
    await actor.tasks[1]?.run()
    assert.equal(actor.tasks.length, 2)
    assert.deepEqual(pending(), [INTERVAL_MS])
  })

  it('goes to the new address after a move, even while it is visiting the old one', async () => {
    const { actor, visits } = start()
    const peer: KnownPeer = { peerId: 'new', addresses: [], hotkey: new Uint8Array(32) }
    actor.timers[0]?.fire()
    actor.send({ type: 'move', peer })
    await actor.tasks[0]?.run()
    await actor.tasks[1]?.run()
    assert.equal(visits.at(-1), peer)
  })

  it('leaves when told to', () => {
    const { actor } = start()
    actor.send({ type: 'leave' })
    assert.ok(actor.stopping)
  })
})

describe('minerWatch in an actor system', () => {
  it('visits all side by side and ends a visit to a miner that leaves', async () => {
    const clock = new FakeClock()
    const actors = new ActorSystem(
      { clock, log: silentLogger },
      { onFailure: (reason) => assert.fail(reason) },
    )
    const visits = new Map<string, { signal: AbortSignal; answer: ReturnType<typeof deferred<Capacity>> }>()
    const visit = (peer: KnownPeer, signal: AbortSignal) => {
      const answer = deferred<Capacity>()
      visits.set(peer.peerId, { signal, answer })
      return answer.promise
    }
    const watch = actors.spawn(specOf('miners', minerWatch({ visit }, { intervalMs: INTERVAL_MS })))
    watch.send({ type: 'members', members: [member(1), member(2)] })
    await clock.advance(1)
    assert.deepEqual([...visits.keys()], ['peer 1', 'peer 2'])
    visits.get('peer 2')?.answer.resolve(CAPACITY)
    await turn()
    assert.deepEqual(
      (await watch.ask('live', {})).miners.map((each) => each.member.uid),
      [2],
    )
    watch.send({ type: 'members', members: [member(2)] })
    await turn()
    assert.equal(visits.get('peer 1')?.signal.aborted, true)
    assert.equal(visits.get('peer 2')?.signal.aborted, false)
    visits.get('peer 1')?.answer.reject(new Error('aborted'))
    await actors.stop()
    assert.equal(clock.pendingTimers, 0)
  })
})
