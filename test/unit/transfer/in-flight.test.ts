import assert from 'node:assert/strict'
import { mapInOrder } from '../../../src/transfer/in-flight.js'
import { turn } from '../../kit/fake-clock.js'
import { deferred } from '../../kit/probe-actor.js'

/** Work whose ends the test decides, and a source that counts. */
class Work {
  readonly begun: {
    readonly item: number
    readonly signal: AbortSignal
    readonly end: ReturnType<typeof deferred<string>>
  }[] = []
  given = 0
  sourceEnded = false

  readonly run = (item: number, signal: AbortSignal): Promise<string> => {
    const end = deferred<string>()
    this.begun.push({ item, signal, end })
    return end.promise
  }

  async *source(count: number): AsyncGenerator<number> {
    try {
      while (this.given < count) {
        this.given += 1
        yield this.given
      }
    } finally {
      this.sourceEnded = true
    }
  }

  finish(item: number, text = `${item}`): void {
    this.begun.find((each) => each.item === item)?.end.resolve(text)
  }

  fail(item: number, text: string): void {
    this.begun.find((each) => each.item === item)?.end.reject(new Error(text))
  }
}

describe('mapInOrder', () => {
  it('gives results in the order of the source, whichever ends first', async () => {
    const work = new Work()
    const results = mapInOrder(work.source(3), 3, work.run)
    const first = results.next()
    await turn()
    work.finish(3)
    work.finish(2)
    work.finish(1)
    assert.equal((await first).value, '1')
    assert.equal((await results.next()).value, '2')
    assert.equal((await results.next()).value, '3')
    assert.equal((await results.next()).done, true)
    assert.ok(work.sourceEnded)
  })

  it('gives nothing for an empty source', async () => {
    const work = new Work()
    assert.equal((await mapInOrder(work.source(0), 2, work.run).next()).done, true)
  })

  it('has at most max items running or finished and not taken, and begins the next when one is taken', async () => {
    const work = new Work()
    const results = mapInOrder(work.source(10), 3, work.run)
    const first = results.next()
    await turn()
    assert.equal(work.begun.length, 3)
    work.finish(2)
    work.finish(3)
    await turn()
    assert.equal(work.begun.length, 3, 'finished ones wait for their turn')
    work.finish(1)
    await first
    assert.equal(work.begun.length, 3, 'nobody has asked for the next')
    void results.next()
    await turn()
    assert.equal(work.begun.length, 4)
    work.fail(4, 'enough')
    await results.return(undefined)
  })

  it('fails at once, whichever fails, aborts the others and waits for them', async () => {
    const work = new Work()
    const results = mapInOrder(work.source(3), 3, work.run)
    let failure: Error | undefined
    const first = results.next().catch((error: Error) => {
      failure = error
    })
    await turn()
    work.fail(2, 'second')
    await turn()
    assert.deepEqual(
      work.begun.map(({ signal }) => signal.aborted),
      [true, true, true],
    )
    work.fail(1, 'first')
    await turn()
    assert.equal(failure, undefined, 'one still runs')
    work.finish(3)
    await first
    assert.match(String(failure), /second/)
    assert.ok(work.sourceEnded)
    assert.equal((await results.next()).done, true)
  })

  it('fails while its source has nothing to give', async () => {
    const work = new Work()
    async function* slow(): AsyncGenerator<number> {
      yield 1
      await new Promise(() => undefined)
    }
    const first = mapInOrder(slow(), 3, work.run).next()
    await turn()
    work.fail(1, 'nobody takes it')
    await assert.rejects(first, /nobody takes it/)
  })

  it("fails with the source's failure after what runs has settled", async () => {
    const work = new Work()
    async function* torn() {
      yield 1
      throw new Error('torn')
    }
    const results = mapInOrder(torn(), 3, work.run)
    const first = results.next()
    first.catch(() => undefined)
    await turn()
    assert.equal(work.begun[0]?.signal.aborted, true)
    work.finish(1)
    await assert.rejects(first, /torn/)
  })

  it('aborts the work with the caller, and ends with its reason', async () => {
    const work = new Work()
    const stop = new AbortController()
    const results = mapInOrder(work.source(2), 2, work.run, { signal: stop.signal })
    const first = results.next()
    first.catch(() => undefined)
    await turn()
    stop.abort(new Error('changed my mind'))
    for (const { signal, item } of work.begun) {
      assert.match(String(signal.reason), /changed my mind/)
      work.fail(item, String(signal.reason))
    }
    await assert.rejects(first, /changed my mind/)
  })

  it('begins nothing under a signal that is aborted already', async () => {
    const work = new Work()
    const results = mapInOrder(work.source(2), 2, work.run, { signal: AbortSignal.abort(new Error('no')) })
    await assert.rejects(results.next(), /no/)
    assert.deepEqual(work.begun, [])
  })

  it('does not wait for a source that has nothing to give when the caller aborts', async () => {
    const work = new Work()
    async function* silent(): AsyncGenerator<number> {
      await new Promise(() => undefined)
      yield 1
    }
    const stop = new AbortController()
    const first = mapInOrder(silent(), 2, work.run, { signal: stop.signal }).next()
    await turn()
    stop.abort(new Error('too long'))
    await assert.rejects(first, /too long/)
  })

  it('aborts the work and ends the source when the consumer stops early', async () => {
    const work = new Work()
    const consumer = (async () => {
      for await (const result of mapInOrder(work.source(9), 2, work.run)) return result
      return 'none'
    })()
    await turn()
    work.begun[1]?.signal.addEventListener('abort', () => work.fail(2, 'aborted'))
    work.finish(1)
    assert.equal(await consumer, '1')
    assert.equal(work.begun[1]?.signal.aborted, true)
    assert.ok(work.sourceEnded)
  })
})
