/** What a hostile peer makes of a good message: seeded, so that the same numbers give the same mischief. */
import { concat } from 'uint8arrays'

/** Fast chance for millions of cases (mulberry32). */
export class Dice {
  #state: number

  constructor(seed: number) {
    this.#state = seed | 0
  }

  /** 0 … below − 1. */
  int(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }

  pick<T>(items: readonly T[]): T {
    return items[this.int(items.length)] as T
  }

  bytes(lengthBytes: number): Uint8Array {
    return Uint8Array.from({ length: lengthBytes }, () => this.int(256))
  }
}

/** First bytes of items that decoders trip over: lengths of 1 to 8 bytes, open ends, floats, tags, simple values. */
const HEADS = [
  0x00, 0x18, 0x1b, 0x20, 0x3b, 0x40, 0x58, 0x5a, 0x5b, 0x5f, 0x60, 0x78, 0x7b, 0x7f, 0x80, 0x98, 0x9a, 0x9b,
  0x9f, 0xa0, 0xb8, 0xba, 0xbb, 0xbf, 0xc0, 0xd8, 0xdb, 0xe0, 0xf4, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb, 0xff,
]

/** Bytes with something wrong in them, mostly. `others` are good messages to cross it with. */
export function mutateBytes(good: Uint8Array, others: readonly Uint8Array[], dice: Dice): Uint8Array {
  let bytes = Uint8Array.from(good)
  for (let times = 1 + dice.int(3); times > 0; times -= 1) bytes = mutateOnce(bytes, others, dice)
  return bytes
}

function mutateOnce(bytes: Uint8Array, others: readonly Uint8Array[], dice: Dice): Uint8Array<ArrayBuffer> {
  const at = dice.int(bytes.length + 1)
  const [before, behind] = [bytes.subarray(0, at), bytes.subarray(at)]
  const some = 1 + dice.int(8)
  switch (dice.int(9)) {
    case 0: {
      const flipped = Uint8Array.from(bytes)
      if (at < flipped.length) flipped[at] = (flipped[at] ?? 0) ^ (1 << dice.int(8))
      return flipped
    }
    case 1:
      return Uint8Array.from(before)
    case 2:
      return concatOwn(bytes, dice.bytes(some))
    case 3:
      return concatOwn(before, dice.bytes(some), behind)
    case 4:
      return concatOwn(before, behind.subarray(some))
    case 5:
      return concatOwn(before, Uint8Array.of(dice.pick(HEADS)), behind.subarray(1))
    case 6:
      return concatOwn(
        before,
        Uint8Array.of(dice.pick(HEADS), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
        behind,
      )
    case 7: {
      const start = dice.int(bytes.length + 1)
      return concatOwn(before, bytes.subarray(start, start + some * 8), behind)
    }
    default: {
      const other = others.length === 0 ? bytes : dice.pick(others)
      return concatOwn(before, other.subarray(dice.int(other.length + 1)))
    }
  }
}

function concatOwn(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(concat(parts))
}

const NUMBERS = [
  0,
  -1,
  1,
  23,
  24,
  255,
  256,
  65_535,
  65_536,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 44 + 1,
  2 ** 53 - 1,
  -(2 ** 53 - 1),
  2n ** 53n,
  -(2n ** 53n),
  2n ** 64n - 1n,
  -(2n ** 64n),
  0.5,
  1e300,
]

function anyValue(dice: Dice): unknown {
  switch (dice.int(9)) {
    case 0:
      return null
    case 1:
      return dice.int(2) === 0
    case 2:
      return dice.bytes(dice.pick([0, 1, 15, 16, 31, 32, 33, 63, 64, 65]))
    case 3:
      return dice.pick([
        '',
        'hello',
        'failure',
        'x'.repeat(dice.int(300)),
        '\u001b[2J',
        '\ud83d\ude00',
        '__proto__',
      ])
    case 4:
      return Array.from({ length: dice.int(5) }, () => anyValue(dice))
    case 5:
      return nested(dice.int(30), dice)
    case 6:
      return { [dice.pick(['type', 'a', '__proto__', ''])]: dice.int(9) }
    default:
      return dice.pick(NUMBERS)
  }
}

function nested(depth: number, dice: Dice): unknown {
  return depth === 0 ? 1 : dice.int(2) === 0 ? [nested(depth - 1, dice)] : { a: nested(depth - 1, dice) }
}

/** A copy in which one thing, anywhere in it, is another one, is missing, is there twice or is new. */
export function mutateValue(value: unknown, dice: Dice): unknown {
  if (Array.isArray(value)) {
    if (dice.int(4) === 0) return dice.int(2) === 0 ? [...value, anyValue(dice)] : value.slice(1)
    if (value.length === 0) return anyValue(dice)
    const at = dice.int(value.length)
    return value.map((each, index) => (index === at ? mutateValue(each, dice) : each))
  }
  if (value instanceof Uint8Array || typeof value !== 'object' || value === null) return anyValue(dice)
  const entries = Object.entries(value)
  if (entries.length === 0 || dice.int(12) === 0) return anyValue(dice)
  const at = dice.int(entries.length)
  if (dice.int(6) === 0) return Object.fromEntries(entries.filter((_, index) => index !== at))
  if (dice.int(6) === 0)
    return { ...value, [dice.pick(['extra', 'typ', 'a', 'constructor'])]: anyValue(dice) }
  return Object.fromEntries(
    entries.map(([key, each], index) => [key, index === at ? mutateValue(each, dice) : each]),
  )
}

/** CBOR of a value as a careless or hostile encoder writes it: keys out of order or twice, long lengths, open ends. */
export function sloppyEncode(value: unknown, dice: Dice): Uint8Array {
  if (typeof value === 'number' && Number.isInteger(value) && dice.int(20) === 0) {
    const float = new Uint8Array(9)
    float[0] = 0xfb
    new DataView(float.buffer).setFloat64(1, value)
    return float
  }
  if (typeof value === 'number' && !Number.isInteger(value)) return Uint8Array.of(0xf9, 0x38, 0x00)
  if (typeof value === 'number' || typeof value === 'bigint') {
    const whole = BigInt(value)
    return whole >= 0n ? head(0, whole, dice) : head(1, -1n - whole, dice)
  }
  if (value instanceof Uint8Array) return concat([head(2, BigInt(value.length), dice), value])
  if (typeof value === 'string') {
    const text = new TextEncoder().encode(value)
    return concat([head(3, BigInt(text.length), dice), text])
  }
  if (Array.isArray(value))
    return items(
      4,
      value.map((each) => sloppyEncode(each, dice)),
      value.length,
      dice,
    )
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value)
    if (dice.int(10) === 0) entries.reverse()
    if (dice.int(10) === 0 && entries.length > 0) entries.push(dice.pick(entries))
    const parts = entries.map(([key, each]) => concat([sloppyEncode(key, dice), sloppyEncode(each, dice)]))
    return items(5, parts, entries.length, dice)
  }
  return Uint8Array.of(value === true ? 0xf5 : value === false ? 0xf4 : dice.pick([0xf6, 0xf6, 0xf7]))
}

function items(major: number, parts: readonly Uint8Array[], count: number, dice: Dice): Uint8Array {
  if (dice.int(40) === 0) return concat([Uint8Array.of((major << 5) | 31), ...parts, Uint8Array.of(0xff)])
  return concat([head(major, BigInt(count), dice), ...parts])
}

function head(major: number, value: bigint, dice: Dice): Uint8Array {
  const least = value < 24n ? 0 : value < 256n ? 1 : value < 65_536n ? 2 : value < 2n ** 32n ? 4 : 8
  const width = dice.int(30) === 0 ? 8 : least
  if (width === 0) return Uint8Array.of((major << 5) | Number(value))
  const bytes = new Uint8Array(1 + width)
  bytes[0] = (major << 5) | (24 + Math.log2(width))
  for (let i = width, rest = value; i > 0; i -= 1, rest >>= 8n) bytes[i] = Number(rest & 0xffn)
  return bytes
}
