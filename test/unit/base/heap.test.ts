import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const HEAP = new URL('../../../src/base/heap.js', import.meta.url).href
const STEADY = `import { steadyHeap } from '${HEAP}'\nsteadyHeap()`
const BURSTS = 8

/** What a process does that keeps some 20 MiB and lets go of as much again and again, after it has lived for a while. */
const GARBAGE = `
  import { getHeapSpaceStatistics } from 'node:v8'
  const kept = Array.from({ length: 200_000 }, (_, i) => ({ i, text: 'x' + i }))
  let going = []
  let mostBytes = 0
  for (let i = 0; i < 12_000_000; i += 1) {
    going.push({ a: [i] })
    if (going.length === 100_000) going = []
    if (i % 10_000 > 0) continue
    const old = getHeapSpaceStatistics().find((space) => space.space_name === 'old_space')
    mostBytes = Math.max(mostBytes, old.space_used_size)
  }
  console.log(kept.length > 0 ? mostBytes : 0)
`

/**
 * A process with a heap like a node's, after a collection that V8 makes of a quiet one, moves 128 MiB through buffers;
 * again and again. Prints during how many of these bursts it had to collect fully.
 */
const TRANSFER = `
import { constants, PerformanceObserver } from 'node:perf_hooks'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc')
const live = Array.from({ length: 200_000 }, (_, i) => ({ i, list: [i, i + 1, i + 2] }))
let full = 0
new PerformanceObserver((list) => {
  full += list.getEntries().filter(({ detail }) => detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR).length
}).observe({ entryTypes: ['gc'] })
const turn = () => new Promise((resolve) => setImmediate(resolve))
let bursts = 0
for (let burst = 0; burst < ${BURSTS}; burst += 1) {
  // V8 gives the least room after this one, as after its own of a process at rest.
  setFlagsFromString('--stress-compaction')
  collect()
  setFlagsFromString('--no-stress-compaction')
  await turn()
  await turn()
  full = 0
  for (let round = 0; round < 512; round += 1) {
    for (let i = 0; i < 4; i += 1) Buffer.allocUnsafeSlow(65_536)
    await turn()
  }
  if (full > 0) bursts += 1
}
console.log(bursts, live.length)
`

/** What the program prints first. */
async function run(program: string, before = ''): Promise<number> {
  const args = ['--input-type=module', '--eval', `${before}\n${program}`]
  const { stdout } = await promisify(execFile)(process.execPath, args)
  return Number.parseInt(stdout, 10)
}

describe('steadyHeap', () => {
  it('keeps garbage from gathering in the old space', async () => {
    const [left, bounded] = [await run(GARBAGE), await run(GARBAGE, STEADY)]
    assert.ok(bounded < 0.9 * left, `${bounded} bytes, not ${left}`)
  })

  it('lets the small collections free the buffers of a transfer, not a full one every few MiB', async () => {
    // Left to itself nearly every burst has one; with it what is promoted by chance starts one now and then.
    const bursts = await run(TRANSFER, STEADY)
    assert.ok(bursts <= BURSTS / 2, `${bursts} of ${BURSTS}`)
  })
})
