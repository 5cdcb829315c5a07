import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** What a process does that keeps some 20 MiB and lets go of as much again and again, after it has lived for a while. */
const PROGRAM = `
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

/** The most that the old space had, bytes. */
async function oldSpace(before: string): Promise<number> {
  const args = ['--input-type=module', '--eval', `${before}\n${PROGRAM}`]
  const { stdout } = await promisify(execFile)(process.execPath, args)
  return Number(stdout)
}

describe('collectSooner', () => {
  it('keeps garbage from gathering in the old space', async () => {
    const heap = new URL('../../../src/base/heap.js', import.meta.url)
    const left = await oldSpace('')
    const collected = await oldSpace(`import { collectSooner } from '${heap}'\ncollectSooner()`)
    assert.ok(collected < 0.7 * left, `${collected} bytes, not ${left}`)
  })
})
