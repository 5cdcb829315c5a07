/** What every `Duplex` does, whatever carries it. Run by the libp2p adapter and by the in-memory pair. */
import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import { isSubnetError } from '../../src/base/errors.js'
import { KIB } from '../../src/base/units.js'
import { sha256, sha256Of } from '../../src/crypto/hash.js'
import type { Duplex } from '../../src/net/duplex.js'
import { until } from '../kit/until.js'

export interface DuplexLink extends AsyncDisposable {
  readonly a: Duplex
  readonly b: Duplex
}

export interface DuplexSuite {
  readonly name: string
  /** Bytes a writer surely gets rid of while nobody reads. */
  readonly freeBytes: number
  /** Bytes it surely does not. */
  readonly heldMaxBytes: number
  link(): Promise<DuplexLink>
}

const PIECE = Uint8Array.from({ length: 16 * KIB }, (_, index) => (index * 7919) % 251)

export function duplexConformance(suite: DuplexSuite): void {
  describe(`duplex: ${suite.name}`, () => {
    carries(suite)
    holdsBack(suite)
    ends(suite)
    breaks(suite)
    cancels(suite)
  })
}

function carries(suite: DuplexSuite): void {
  it('carries bytes both ways, unchanged and in order', async () => {
    await using link = await suite.link()
    const [atB, atA] = await Promise.all([
      readAll(link.b),
      readAll(link.a),
      writePieces(link.a, 100),
      writePieces(link.b, 90),
    ])
    assert.deepEqual([atB, atA], [expected(100), expected(90)])
  })

  it('gives the reader bytes of its own', async () => {
    await using link = await suite.link()
    const sent = PIECE.slice(0, 1000)
    await link.a.write(sent)
    for (let seen = 0; seen < sent.length; ) {
      const piece = await link.b.read()
      assert.ok(piece !== undefined && piece.length > 0)
      seen += piece.length
      piece.fill(0)
    }
    assert.deepEqual(sent, PIECE.slice(0, 1000))
  })

  it('takes an empty write and delivers nothing for it', async () => {
    await using link = await suite.link()
    await link.a.write(new Uint8Array(0))
    await link.a.write(Uint8Array.of(1))
    assert.deepEqual(await link.b.read(), Uint8Array.of(1))
  })

  it('takes one write larger than everything it may hold', async () => {
    await using link = await suite.link()
    const large = new Uint8Array(2 * suite.heldMaxBytes).fill(7)
    const [received] = await Promise.all([
      readAll(link.b),
      link.a.write(large).then(() => link.a.closeWrite()),
    ])
    assert.deepEqual(received, { bytes: large.length, digest: hex(sha256(large)) })
  })

  it('refuses two reads at a time and two writes at a time', async () => {
    await using link = await suite.link()
    const reading = link.a.read()
    await assert.rejects(link.a.read(), /one read at a time/)
    const writing = link.a.write(new Uint8Array(2 * suite.heldMaxBytes))
    await assert.rejects(link.a.write(PIECE), /one write at a time/)
    link.a.abort(new Error('done'))
    await Promise.allSettled([reading, writing])
  })
}

function holdsBack(suite: DuplexSuite): void {
  it(`holds a writer back while nobody reads, and lets it go on when somebody does`, async () => {
    await using link = await suite.link()
    const writer = countingWriter(link.a)
    await steady(() => writer.bytes)
    assert.ok(writer.bytes <= suite.heldMaxBytes, `${writer.bytes} bytes were taken from the writer`)
    const before = writer.bytes
    await readBytes(link.b, before + 2 * suite.heldMaxBytes)
    assert.ok(writer.bytes > before + suite.heldMaxBytes)
    await writer.stop()
  })

  it('holds it back the second time too, and the fourth', async () => {
    await using link = await suite.link()
    const writer = countingWriter(link.a)
    let readTotal = 0
    for (let round = 0; round < 4; round += 1) {
      await steady(() => writer.bytes)
      const waiting = writer.bytes - readTotal
      assert.ok(waiting <= suite.heldMaxBytes, `round ${round}: ${waiting} bytes wait unread`)
      readTotal += await readBytes(link.b, suite.heldMaxBytes)
    }
    await writer.stop()
  })

  it('moves everything past a slow reader in both directions at once', async () => {
    await using link = await suite.link()
    const [atB, atA] = await Promise.all([
      readAll(link.b, turn),
      readAll(link.a, turn),
      writePieces(link.a, 500),
      writePieces(link.b, 500),
    ])
    assert.deepEqual([atB, atA], [expected(500), expected(500)])
  })
}

function ends(suite: DuplexSuite): void {
  it('delivers what was written just before the end, then says the end, again and again', async () => {
    for (const pieces of [0, 1, 5]) {
      await using link = await suite.link()
      await Promise.all([
        writePieces(link.a, pieces),
        readAll(link.b).then(async (got) => {
          assert.deepEqual(got, expected(pieces))
        }),
      ])
      assert.equal(await link.b.read(), undefined)
    }
  })

  it('delivers everything to a reader who wakes only after the peer closed', async () => {
    await using link = await suite.link()
    const pieces = piecesIn(suite.freeBytes)
    await writePieces(link.a, pieces)
    await turn()
    assert.deepEqual(await readAll(link.b), expected(pieces))
  })

  it('delivers everything although the peer closed while the reader held it back', async () => {
    await using link = await suite.link()
    const pieces = piecesIn(4 * suite.heldMaxBytes)
    const writing = writePieces(link.a, pieces)
    await link.b.closeWrite()
    await turn()
    assert.deepEqual(await readAll(link.b, turn), expected(pieces))
    await writing
  })

  it('goes on reading after it closed its own side', async () => {
    await using link = await suite.link()
    await link.a.closeWrite()
    assert.equal(await link.b.read(), undefined)
    await link.b.write(Uint8Array.of(1, 2, 3))
    await link.b.closeWrite()
    assert.deepEqual(await readAll(link.a), { bytes: 3, digest: hex(sha256(Uint8Array.of(1, 2, 3))) })
  })

  it('refuses a write after closeWrite, and takes a second closeWrite', async () => {
    await using link = await suite.link()
    await link.a.closeWrite()
    await link.a.closeWrite()
    await assert.rejects(link.a.write(PIECE), /after closeWrite/)
  })
}

function breaks(suite: DuplexSuite): void {
  it('rejects what is pending with the reason of abort, and the peer with DISCONNECTED', async () => {
    await using link = await suite.link()
    const reason = new Error('enough')
    const pending = Promise.allSettled([link.a.read(), link.a.write(new Uint8Array(2 * suite.heldMaxBytes))])
    await turn()
    link.a.abort(reason)
    assert.deepEqual((await pending).map(rejection), [reason, reason])
    await assert.rejects(link.a.read(), reason)
    await assert.rejects(link.a.write(PIECE), reason)
    await assert.rejects(link.a.closeWrite(), reason)
    await assert.rejects(readAll(link.b), disconnected)
    await assert.rejects(link.b.write(PIECE), disconnected)
    await assert.rejects(link.b.closeWrite(), disconnected)
  })

  it('wakes a writer that was held back', async () => {
    await using link = await suite.link()
    const writer = countingWriter(link.a)
    await steady(() => writer.bytes)
    link.b.abort(new Error('enough'))
    assert.ok(isSubnetError(await writer.failed, 'DISCONNECTED'))
  })

  it('never shows a cut stream as a clean end, also with bytes unread', async () => {
    for (const pieces of [0, 1, piecesIn(2 * suite.heldMaxBytes)]) {
      await using link = await suite.link()
      const writing = (async () => {
        for (let index = 0; index < pieces; index += 1) await link.a.write(PIECE)
      })().catch(() => undefined)
      await turn()
      link.a.abort(new Error('enough'))
      await writing
      await assert.rejects(readAll(link.b), disconnected)
      await assert.rejects(link.b.read(), disconnected)
    }
  })

  it('keeps complete input readable when the peer then breaks off', async () => {
    await using link = await suite.link()
    const pieces = piecesIn(suite.freeBytes)
    await writePieces(link.a, pieces)
    link.a.abort(new Error('enough'))
    assert.deepEqual(await readAll(link.b), expected(pieces))
    await assert.rejects(writePieces(link.b, 4 * piecesIn(suite.heldMaxBytes)), disconnected)
  })

  it('takes an abort of a stream that has ended without harm to the peer', async () => {
    await using link = await suite.link()
    const pieces = piecesIn(suite.freeBytes)
    await Promise.all([writePieces(link.a, pieces), link.b.closeWrite()])
    assert.equal(await link.a.read(), undefined)
    link.a.abort(new Error('late'))
    link.a.abort(new Error('later'))
    assert.deepEqual(await readAll(link.b), expected(pieces))
  })
}

function cancels(suite: DuplexSuite): void {
  it('rejects an aborted read with its reason and loses no byte by it', async () => {
    await using link = await suite.link()
    const controller = new AbortController()
    const reading = link.b.read({ signal: controller.signal })
    controller.abort(new Error('no patience'))
    await assert.rejects(reading, /no patience/)
    await assert.rejects(link.b.read({ signal: controller.signal }), /no patience/)
    const [received] = await Promise.all([readAll(link.b), writePieces(link.a, 4)])
    assert.deepEqual(received, expected(4))
  })

  it('rejects an aborted write with its reason', async () => {
    await using link = await suite.link()
    const controller = new AbortController()
    const writing = link.a.write(new Uint8Array(2 * suite.heldMaxBytes), { signal: controller.signal })
    controller.abort(new Error('no patience'))
    await assert.rejects(writing, /no patience/)
  })

  it('ends properly after a closeWrite whose caller lost patience', async () => {
    await using link = await suite.link()
    await link.a.write(new Uint8Array(suite.freeBytes))
    const controller = new AbortController()
    const closing = link.a.closeWrite({ signal: controller.signal })
    controller.abort(new Error('no patience'))
    await closing.catch(() => undefined)
    await assert.rejects(link.a.closeWrite({ signal: controller.signal }), /no patience/)
    await Promise.all([link.a.closeWrite(), readBytes(link.b, suite.freeBytes)])
    assert.equal(await link.b.read(), undefined)
  })
}

export interface Received {
  readonly bytes: number
  readonly digest: string
}

/** Reads to the end; `pause` runs between reads. */
export async function readAll(duplex: Duplex, pause?: () => Promise<unknown>): Promise<Received> {
  const pieces: Uint8Array[] = []
  let bytes = 0
  for (let piece = await duplex.read(); piece !== undefined; piece = await duplex.read()) {
    pieces.push(piece)
    bytes += piece.length
    await pause?.()
  }
  return { bytes, digest: hex(sha256Of(pieces)) }
}

/** Writes the numbered pieces 0 … count − 1 and closes. */
export async function writePieces(duplex: Duplex, count: number): Promise<void> {
  for (let index = 0; index < count; index += 1) await duplex.write(numbered(index))
  await duplex.closeWrite()
}

/** What `readAll` gets of `writePieces`. */
export function expected(count: number): Received {
  const pieces = Array.from({ length: count }, (_, index) => numbered(index))
  return { bytes: count * PIECE.length, digest: hex(sha256Of(pieces)) }
}

function numbered(index: number): Uint8Array {
  const piece = PIECE.slice()
  new DataView(piece.buffer).setUint32(0, index)
  return piece
}

/** Reads at least `count` bytes and returns how many it was. */
export async function readBytes(duplex: Duplex, count: number): Promise<number> {
  let bytes = 0
  while (bytes < count) {
    const piece = await duplex.read()
    assert.ok(piece !== undefined, `the stream ended after ${bytes} of ${count} bytes`)
    bytes += piece.length
  }
  return bytes
}

export interface CountingWriter {
  /** Bytes of writes that resolved. */
  readonly bytes: number
  /** Resolves to what ended the writing. */
  readonly failed: Promise<unknown>
  stop(): Promise<void>
}

/** Writes without end, until stopped or broken. */
export function countingWriter(duplex: Duplex): CountingWriter {
  const stopped = new Error('stopped')
  let bytes = 0
  const failed = (async () => {
    try {
      for (;;) {
        await duplex.write(PIECE)
        bytes += PIECE.length
      }
    } catch (error) {
      return error
    }
  })()
  return {
    get bytes() {
      return bytes
    },
    failed,
    async stop() {
      duplex.abort(stopped)
      assert.equal(await failed, stopped)
    },
  }
}

/** Waits until a count stands still for ten looks. */
export async function steady(count: () => number): Promise<void> {
  let [last, same] = [-1, 0]
  await until(
    () => {
      same = count() === last ? same + 1 : 0
      last = count()
      return same >= 10
    },
    { deadlineMs: 20_000, title: 'the count stands still' },
  )
}

function piecesIn(bytes: number): number {
  return Math.floor(bytes / PIECE.length)
}

function disconnected(error: unknown): boolean {
  return isSubnetError(error, 'DISCONNECTED')
}

function rejection(result: PromiseSettledResult<unknown>): unknown {
  assert.equal(result.status, 'rejected')
  return result.reason
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
