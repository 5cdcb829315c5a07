import assert from 'node:assert/strict'
import { Mailbox, type MailboxInit } from '../../../src/actor/mailbox.js'
import { PendingReply } from '../../../src/actor/reply.js'
import { isSubnetError } from '../../../src/base/errors.js'

type Head = { readonly type: string; readonly number: number }

function mailbox(init: MailboxInit<Head>) {
  const box = new Mailbox<Head>(init)
  const offer = (type: string, number = 0, reply?: PendingReply) => box.offer({ type, number }, reply)
  const drain = () => {
    const taken: string[] = []
    for (let waiting = box.take(); waiting !== undefined; waiting = box.take()) {
      taken.push(`${waiting.message.type}${waiting.message.number}`)
    }
    return taken
  }
  return { box, offer, drain }
}

function reply(signal?: AbortSignal) {
  const settled: unknown[] = []
  const keep = (value: unknown) => void settled.push(value)
  return { settled, reply: new PendingReply({ resolve: keep, reject: keep }, signal) }
}

const byType = (message: Head) => (message.type === 'order' ? undefined : message.type)

describe('mailbox', () => {
  it('gives messages back in the order in which they came', () => {
    const { offer, drain } = mailbox({ max: 3, policy: 'reject' })
    for (const number of [1, 2, 3]) assert.equal(offer('m', number), true)
    assert.deepEqual(drain(), ['m1', 'm2', 'm3'])
  })

  it('takes nothing above its bound with `reject`', () => {
    const { box, offer, drain } = mailbox({ max: 2, policy: 'reject' })
    assert.deepEqual(
      [1, 2, 3].map((number) => offer('m', number)),
      [true, true, false],
    )
    assert.equal(box.size, 2)
    assert.deepEqual(drain(), ['m1', 'm2'])
    assert.equal(offer('m', 4), true)
  })

  it('drops what waited longest with `drop-oldest`, and tells its caller BUSY', () => {
    const { offer, drain } = mailbox({ max: 2, policy: 'drop-oldest' })
    const oldest = reply()
    offer('m', 1, oldest.reply)
    offer('m', 2)
    assert.equal(offer('m', 3), true)
    assert.deepEqual(drain(), ['m2', 'm3'])
    const [error] = oldest.settled
    assert.ok(isSubnetError(error, 'BUSY'))
    assert.equal(error.retryable, true)
    assert.ok(Number(error.data.retryAfterMs) > 0)
  })

  it('puts a newer message into the place of the one with the same key, also when it is full', () => {
    const { offer, drain } = mailbox({ max: 3, policy: 'conflate', key: byType })
    const older = reply()
    offer('head', 1, older.reply)
    offer('order', 2)
    offer('tick', 3)
    assert.equal(offer('head', 4), true)
    assert.deepEqual(drain(), ['head4', 'order2', 'tick3'])
    assert.ok(isSubnetError(older.settled[0], 'BUSY'))
  })

  it('never replaces messages without a key, and takes none of them when it is full', () => {
    const { offer, drain } = mailbox({ max: 2, policy: 'conflate', key: byType })
    assert.deepEqual(
      [offer('order', 1), offer('order', 2), offer('order', 3), offer('head', 4)],
      [true, true, false, false],
    )
    assert.deepEqual(drain(), ['order1', 'order2'])
  })

  it('does not look for a key that has been received', () => {
    const { offer, drain } = mailbox({ max: 2, policy: 'conflate', key: byType })
    offer('head', 1)
    assert.deepEqual(drain(), ['head1'])
    offer('order', 2)
    offer('head', 3)
    assert.deepEqual(drain(), ['order2', 'head3'])
  })

  it('forgets a message whose caller gave up, and has room again', () => {
    const { offer, drain } = mailbox({ max: 2, policy: 'reject' })
    const controller = new AbortController()
    offer('m', 1, reply(controller.signal).reply)
    offer('m', 2)
    controller.abort()
    assert.equal(offer('m', 3), true)
    assert.deepEqual(drain(), ['m2', 'm3'])
  })

  it('keeps the newer message when the caller of the one it replaced gives up', () => {
    const { offer, drain } = mailbox({ max: 2, policy: 'conflate', key: byType })
    const controller = new AbortController()
    offer('head', 1, reply(controller.signal).reply)
    offer('head', 2)
    controller.abort()
    assert.deepEqual(drain(), ['head2'])
  })

  it('refuses a bound of nothing', () => {
    assert.throws(() => mailbox({ max: 0, policy: 'reject' }), { name: 'InvariantError' })
  })
})
