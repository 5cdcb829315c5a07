import assert from 'node:assert/strict'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { z } from 'zod'
import { DEPTH_MAX, ITEMS_MAX } from '../../../protocols/common/outline.js'
import {
  boundedBytes,
  decodeMessage,
  encodeMessage,
  integer,
  list,
  text,
} from '../../../protocols/common/schema.js'
import { fromFailure } from '../../../protocols/common/status.js'
import { locateAnswerSchema } from '../../../protocols/order/messages.js'
import { isSubnetError, type SubnetError } from '../../../src/base/errors.js'

const schema = z.strictObject({
  type: z.literal('thing'),
  key: boundedBytes(2, 4),
  count: integer(0, 9),
  name: text(5),
  rows: list(list(integer(0, 255), 0, 3), 1, 4),
  note: text(3).optional(),
})
const thing = { type: 'thing', key: Uint8Array.of(1, 2), count: 3, name: 'abc', rows: [[], [1, 2]] }

function refusal(bytes: Uint8Array): SubnetError {
  try {
    decodeMessage(schema, bytes, 'thing')
  } catch (error) {
    assert.ok(isSubnetError(error, 'INVALID'), String(error))
    return error
  }
  return assert.fail('accepted')
}

describe('decodeMessage', () => {
  it('gives back what was encoded, in bytes of its own', () => {
    const bytes = encodeMessage(thing)
    const value = decodeMessage(schema, bytes, 'thing')
    assert.deepEqual(value, thing)
    bytes.fill(0)
    assert.deepEqual(value, thing)
  })

  it('names the field that is wrong', () => {
    const cases: [object, string][] = [
      [{ type: 'other' }, 'type'],
      [{ key: Uint8Array.of(1) }, 'key'],
      [{ key: new Uint8Array(5) }, 'key'],
      [{ key: 'ab' }, 'key'],
      [{ key: null }, 'key'],
      [{ count: -1 }, 'count'],
      [{ count: 10 }, 'count'],
      [{ count: 1.5 }, 'count'],
      [{ count: 2n ** 60n }, 'count'],
      [{ count: '1' }, 'count'],
      [{ name: '' }, 'name'],
      [{ name: 'abcdef' }, 'name'],
      [{ name: 'a\u001b[2' }, 'name'],
      [{ name: 'a\n' }, 'name'],
      [{ name: 'ä' }, 'name'],
      [{ rows: [] }, 'rows'],
      [{ rows: [[], [], [], [], []] }, 'rows'],
      [{ rows: [[1], [1, 2, 3, 4]] }, 'rows.1'],
      [{ rows: [[1], [0, 256]] }, 'rows.1.1'],
      [{ rows: { 0: [] } }, 'rows'],
      [{ note: null }, 'note'],
    ]
    for (const [wrong, field] of cases) {
      const error = refusal(encodeMessage({ ...thing, ...wrong }))
      assert.equal(error.data.field, field, error.message)
    }
    for (const field of Object.keys(thing)) {
      const { [field as 'type']: _, ...rest } = thing
      assert.equal(refusal(encodeMessage(rest)).data.field, field)
    }
  })

  it('refuses unknown fields without repeating what the peer called them', () => {
    const evil = Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`${i}\u001b[2J`, 1]))
    assert.equal(refusal(encodeMessage({ ...thing, ...evil })).message, 'thing: message has unknown fields')
    const proto = encodeMessage(JSON.parse('{"type":"x","__proto__":1}'))
    assert.ok(Buffer.from(proto).includes('__proto__'))
    assert.throws(() => decodeMessage(z.strictObject({ type: z.literal('x') }), proto, 'x'), {
      code: 'INVALID',
    })
  })

  it('refuses bytes that are not the one encoding of their value', () => {
    const good = Buffer.from(encodeMessage({ ...thing, rows: [[]] }))
    const swap = (from: string, to: string) => {
      const text = good.toString('hex')
      assert.ok(text.includes(from))
      return Uint8Array.from(Buffer.from(text.replace(from, to), 'hex'))
    }
    const count = Buffer.from('count').toString('hex')
    const cases: [string, Uint8Array][] = [
      ['an integer in two bytes', swap(`${count}03`, `${count}1803`)],
      ['an integer in nine', swap(`${count}03`, `${count}1b0000000000000003`)],
      ['an integer as a float', swap(`${count}03`, `${count}fb4008000000000000`)],
      ['a length in two bytes', swap('420102', '58020102')],
      ['a list without length', swap('8180', '9f80ff')],
      ['a tagged value', swap(`${count}03`, `${count}c103`)],
      ['a byte behind', Uint8Array.from([...good, 0])],
      ['no bytes', new Uint8Array(0)],
    ]
    for (const [, bytes] of cases) refusal(bytes)
    const reversed = new Map(Object.entries(thing).reverse())
    const head = 0xa0 + reversed.size
    const body = [...reversed].flatMap(([key, value]) => [...encodeMessage(key), ...encodeMessage(value)])
    refusal(Uint8Array.from([head, ...body]))
    const twice = Uint8Array.from([0xa2, ...encodeMessage('a'), 1, ...encodeMessage('a'), 1])
    assert.throws(() => decodeMessage(z.strictObject({ a: integer(0, 9) }), twice, 'twice'), {
      code: 'INVALID',
    })
  })

  it('refuses what is nested deeply, or has too many items, before it builds anything', () => {
    for (const byte of [0x81, 0xd8]) {
      const deep = new Uint8Array(700_000).fill(byte)
      assert.match(refusal(deep).message, byte === 0x81 ? /deeper than 16/ : /deeper|not dag-cbor/)
    }
    const nested = (depth: number) => Uint8Array.from([...new Array<number>(depth).fill(0x81), 0x80])
    assert.match(refusal(nested(DEPTH_MAX - 1)).message, /message/)
    assert.match(refusal(nested(DEPTH_MAX)).message, /deeper/)
    const many = Uint8Array.from([0x9a, 0, 0x0a, 0xae, 0x60, ...new Uint8Array(700_000).fill(0xa0)])
    assert.match(refusal(many).message, new RegExp(`more than ${ITEMS_MAX} items`))
  })

  it('refuses a length that is not there, however large', () => {
    for (const head of [
      [0x5b, 0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
      [0x7b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
      [0x9b, 0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
      [0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
      [0x9a, 0xff, 0xff, 0xff, 0xff],
      [0x5a, 0xff, 0xff, 0xff, 0xff],
    ]) {
      for (const rest of [[], [0x80], [0x80, 0xa0, 0x01]]) refusal(Uint8Array.from([...head, ...rest]))
    }
  })

  it('stays within a few times the size of a message that is wrong in every place', () => {
    const wrong = { type: 'located', holders: [], nodes: [], segments: Array(512).fill(Array(500).fill(-1)) }
    const bytes = encodeMessage(wrong)
    setFlagsFromString('--expose-gc')
    runInNewContext('gc')()
    const before = process.memoryUsage().heapUsed
    assert.throws(() => decodeMessage(locateAnswerSchema, bytes, 'located'), { code: 'INVALID' })
    const grownBytes = process.memoryUsage().heapUsed - before
    // zod's own array would have made an issue of 500 bytes for each of 256,000 items.
    assert.ok(grownBytes < 60_000_000, `${grownBytes} bytes`)
  })
})

describe("a peer's failure", () => {
  it('is shown without what would move a cursor', () => {
    const error = fromFailure({ type: 'failure', status: 4, reason: 'no\u001b[2J\r\nfoo' }, 'peer')
    assert.equal(error.message, 'peer: no?[2J??foo')
    assert.equal(error.code, 'REFUSED')
  })

  it('with a status of a newer version is INTERNAL', () => {
    assert.equal(fromFailure({ type: 'failure', status: 200, reason: '' }, 'peer').code, 'INTERNAL')
  })
})
