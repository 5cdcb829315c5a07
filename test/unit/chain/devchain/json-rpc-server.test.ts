import assert from 'node:assert/strict'
import fc from 'fast-check'
import { silentLogger } from '../../../../src/base/log.js'
import { seededRandom } from '../../../../src/base/random.js'
import { METHODS } from '../../../../src/chain/devchain/api.js'
import { Devchain } from '../../../../src/chain/devchain/devchain.js'
import { replySchema } from '../../../../src/chain/devchain/json-rpc.js'
import { answer, type Session } from '../../../../src/chain/devchain/json-rpc-server.js'
import { DevchainStore } from '../../../../src/chain/devchain/store.js'
import { startDevchain, TEST_GENESIS } from '../../../kit/devchain.js'
import { FakeClock } from '../../../kit/fake-clock.js'

describe('a devchain’s answer to a JSON-RPC request', () => {
  let devchain: Devchain
  const session: Session = { wantsHeads: false }
  before(async () => {
    ;({ devchain } = await startDevchain())
  })
  after(() => devchain.stop())
  const ask = (text: string) => answer(devchain, session, text, silentLogger)

  it('is always JSON-RPC, or nothing, whatever was asked', () => {
    const method = fc.oneof(fc.constantFrom(...Object.keys(METHODS), '__proto__', 'toString'), fc.string())
    const request = fc.record(
      {
        jsonrpc: fc.constantFrom('2.0', '1.0'),
        id: fc.oneof(fc.integer(), fc.jsonValue()),
        method,
        params: fc.jsonValue(),
      },
      { requiredKeys: ['jsonrpc', 'method'] },
    )
    const text = fc.oneof(
      fc.string(),
      fc.json(),
      request.map((value) => JSON.stringify(value)),
    )
    fc.assert(
      fc.property(text, (message) => {
        const reply = ask(message)
        if (reply !== undefined) assert.ok(replySchema.safeParse(withNumber(reply)).success, reply)
      }),
    )
  })

  /** The schema is the client's, whose ids are numbers; other clients may use other ids. */
  function withNumber(reply: string): unknown {
    return { ...JSON.parse(reply), id: 1 }
  }

  it('is none to a notification', () => {
    assert.equal(ask('{"jsonrpc":"2.0","method":"head"}'), undefined)
  })

  it('hides what went wrong inside', () => {
    const broken = {
      head: undefined,
      get constants() {
        throw new Error('secret detail')
      },
    } as unknown as Devchain
    const reply = answer(broken, session, '{"jsonrpc":"2.0","id":1,"method":"constants"}', silentLogger)
    assert.ok(reply?.includes('INTERNAL'))
    assert.ok(!reply?.includes('secret'))
  })

  it('says that it is not there yet while the devchain reads its blocks', () => {
    const components = { clock: new FakeClock(), random: seededRandom('x'), logger: silentLogger }
    const store = new DevchainStore('/nowhere')
    const unread = new Devchain(components, { genesis: TEST_GENESIS, store })
    const mine: Session = { wantsHeads: false }
    for (const method of ['subscribeHeads', 'head', 'subnets']) {
      const reply = answer(unread, mine, `{"jsonrpc":"2.0","id":1,"method":"${method}"}`, silentLogger)
      assert.equal(JSON.parse(reply ?? '').error.data.code, 'CHAIN_UNAVAILABLE')
    }
    assert.equal(mine.wantsHeads, false)
  })

  it('subscribes to heads', () => {
    const mine: Session = { wantsHeads: false }
    answer(devchain, mine, '{"jsonrpc":"2.0","id":"a","method":"subscribeHeads"}', silentLogger)
    assert.equal(mine.wantsHeads, true)
  })
})
