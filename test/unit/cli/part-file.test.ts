import assert from 'node:assert/strict'
import { readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { MIB } from '../../../src/base/units.js'
import { PartFile } from '../../../src/cli/part-file.js'
import { type TempDir, tempDir } from '../../kit/temp-dir.js'

const lost = new Error('the line is cut')

async function* source(pieces: readonly string[], failure?: Error): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) yield new TextEncoder().encode(piece)
  if (failure !== undefined) throw failure
}

describe('PartFile', () => {
  let directory: TempDir
  let path: string

  beforeEach(async () => {
    directory = await tempDir()
    path = join(directory.path, 'file')
  })
  afterEach(() => directory[Symbol.asyncDispose]())

  const names = async () => (await readdir(directory.path)).sort()
  const interrupted = async (...pieces: readonly string[]) => {
    const part = await PartFile.open(path, 'it', false)
    await assert.rejects(part.fill(source(pieces, lost)))
  }

  it('has the name only when all is there', async () => {
    const part = await PartFile.open(path, 'it', false)
    assert.deepEqual(await names(), ['file.part'])
    await part.fill(source(['ab', 'c']))
    assert.deepEqual(await names(), ['file'])
    assert.equal(await readFile(path, 'utf8'), 'abc')
  })

  it('refuses the name of a directory before anything is read', async () => {
    await assert.rejects(PartFile.open(directory.path, 'it', false), {
      code: 'DISK',
      message: /is a directory/,
    })
    assert.deepEqual(await names(), [])
  })

  it('goes on where it was interrupted', async () => {
    await interrupted('ab', 'c')
    assert.deepEqual(await names(), ['file.part', 'file.part.json'])
    const part = await PartFile.open(path, 'it', false)
    assert.equal(part.doneBytes, 3)
    await part.fill(source(['de']))
    assert.equal(await readFile(path, 'utf8'), 'abcde')
    assert.deepEqual(await names(), ['file'])
  })

  it('counts only what was synced, whatever else a killed run has written', async () => {
    await interrupted('abc')
    await writeFile(`${path}.part`, 'abcXYZ')
    const part = await PartFile.open(path, 'it', false)
    assert.equal(part.doneBytes, 3)
    assert.equal((await stat(`${path}.part`)).size, 3)
    await part.abandon()
  })

  it('begins anew for other content, when told to, and when less is there than was said', async () => {
    for (const begin of [
      () => PartFile.open(path, 'something else', false),
      () => PartFile.open(path, 'it', true),
      async () => {
        await truncate(`${path}.part`, 2)
        return await PartFile.open(path, 'it', false)
      },
      async () => {
        await writeFile(`${path}.part.json`, '{"content":')
        return await PartFile.open(path, 'it', false)
      },
    ]) {
      await interrupted('abc')
      const part = await begin()
      assert.equal(part.doneBytes, 0)
      await part.fill(source(['xy']))
      assert.equal(await readFile(path, 'utf8'), 'xy')
      assert.deepEqual(await names(), ['file'])
    }
  })

  it('leaves nothing when nothing came', async () => {
    await interrupted()
    assert.deepEqual(await names(), [])
  })

  it('does not name what it holds', async () => {
    const part = await PartFile.open(path, 'a secret capability', false)
    await assert.rejects(part.fill(source(['a'], lost)))
    assert.doesNotMatch(await readFile(`${path}.part.json`, 'utf8'), /secret/)
  })

  it('notes from time to time what a crash will not cost', async () => {
    const part = await PartFile.open(path, 'it', false)
    const noted: number[] = []
    async function* pieces() {
      for (let i = 0; i < 6; i += 1) {
        yield new Uint8Array(8 * MIB)
        const text = await readFile(`${path}.part.json`, 'utf8').catch(() => '{"doneBytes":0}')
        noted.push(JSON.parse(text).doneBytes / MIB)
      }
    }
    await part.fill(pieces())
    assert.deepEqual(noted, [0, 0, 0, 32, 32, 32])
  })

  it('says DISK when it cannot be written', async () => {
    await assert.rejects(PartFile.open(join(path, 'below'), 'it', false), { code: 'DISK' })
  })
})
