import assert from 'node:assert/strict'
import type { Behavior, Ref, Reply } from '../../../src/actor/behavior.js'
import { ActorSystem } from '../../../src/actor/system.js'
import { silentLogger } from '../../../src/base/log.js'
import { FakeClock } from '../../kit/fake-clock.js'
import { specOf } from '../../kit/probe-actor.js'

type Tick = { readonly type: 'tick' }
type Public =
  | Tick
  | {
      readonly type: 'reserve'
      readonly bytes: number
      readonly reply: Reply<{ readonly leftBytes: number }>
    }
  | { readonly type: 'flush'; readonly reply: Reply<void> }
type Private = { readonly type: 'flushed'; readonly reply: Reply<void> }

/** As an actor's file does it: private messages and state do not show in the type it gives away. */
function createVault(): Behavior<Public> {
  const vault: Behavior<Public | Private, { leftBytes: number }> = {
    start: () => ({ leftBytes: 100 }),
    receive(state, message, context) {
      switch (message.type) {
        case 'tick':
          return
        case 'reserve':
          state.leftBytes -= message.bytes
          message.reply.answer({ leftBytes: state.leftBytes })
          return
        case 'flush':
          context.task(
            async () => undefined,
            () => ({ type: 'flushed', reply: message.reply }),
          )
          return
        case 'flushed':
          message.reply.answer()
      }
    },
  }
  return vault
}

/** Never called: it is the compiler that tests it, and fails where it finds no error. */
const mistakes = async (vault: Ref<Public>): Promise<void> => {
  // @ts-expect-error a field is missing
  await vault.ask('reserve', {})
  // @ts-expect-error `tick` has no answer
  await vault.ask('tick', {})
  // @ts-expect-error what has an answer is asked
  vault.send({ type: 'flush' })
  // @ts-expect-error a private message
  vault.send({ type: 'flushed' })
  // @ts-expect-error the answer has no such field
  void (await vault.ask('reserve', { bytes: 1 })).bytes
  // @ts-expect-error an address for more messages than it takes
  const wider: Ref<Public | { readonly type: 'other' }> = vault
  void wider
}
void mistakes

describe('actor types', () => {
  it('derive the fields and the answer of an ask from the message', async () => {
    const components = { clock: new FakeClock(), log: silentLogger }
    const system = new ActorSystem(components, { onFailure: assert.fail })
    const vault = system.spawn(specOf('vault', createVault()))
    const { leftBytes } = await vault.ask('reserve', { bytes: 30 })
    assert.equal(leftBytes, 70)
    assert.equal(await vault.ask('flush', {}), undefined)
    const ticker: Ref<Tick> = vault
    assert.equal(ticker.send({ type: 'tick' }), true)
    await system.stop()
  })
})
