import assert from 'node:assert/strict'
import { appendFile, rename, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { MIB } from '../../../src/base/units.js'
import { bytesOf, openSource } from '../../../src/cli/put-source.js'
import { type TempDir, tempDir } from '../../kit/temp-dir.js'

describe('put source', () => {
  let directory: TempDir
  let file: string
  beforeEach(async () => {
    directory = await tempDir()
    file = join(directory.path, 'file')
    await writeFile(file, new Uint8Array(3 * MIB))
  })
  afterEach(() => directory[Symbol.asyncDispose]())

  /** Bytes that were read; `meanwhile` happens after the first. */
  async function readBytes(meanwhile: () => Promise<void>): Promise<number> {
    const source = bytesOf(file, await openSource(file))
    assert.ok(typeof source === 'function')
    let bytes = 0
    for await (const piece of source()) {
      if (bytes === 0) await meanwhile()
      bytes += piece.length
    }
    return bytes
  }

  it('gives the memory of a piece back when the next one is asked for', async () => {
    const source = bytesOf(file, await openSource(file))
    assert.ok(typeof source === 'function')
    const lengths: number[] = []
    let before: Uint8Array | undefined
    for await (const piece of source()) {
      lengths.push(piece.length)
      assert.equal(before?.length ?? 0, 0)
      before = piece
    }
    assert.deepEqual(lengths, [MIB, MIB, MIB])
  })

  const changes: readonly (readonly [string, () => Promise<void>])[] = [
    ['shrinks', () => truncate(file, 1_000)],
    ['grows', () => appendFile(file, 'more')],
    ['is written to', () => writeFile(file, new Uint8Array(3 * MIB).fill(1))],
  ]
  for (const [what, change] of changes) {
    it(`fails when the file ${what} while it is read`, async () => {
      await assert.rejects(readBytes(change), { code: 'DISK', message: /changed while it was read/ })
    })
  }

  it('reads on in a file that is removed or replaced', async () => {
    const other = join(directory.path, 'other')
    await writeFile(other, 'new')
    assert.equal(await readBytes(() => rename(other, file)), 3 * MIB)
    await writeFile(file, new Uint8Array(2 * MIB))
    assert.equal(await readBytes(() => rm(file)), 2 * MIB)
  })
})
