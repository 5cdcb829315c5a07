/** The shard's view of a real file system. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { nodeFiles } from '../../src/shard/disk-files.js'
import { tempDir } from '../kit/temp-dir.js'

describe('nodeFiles', () => {
  it('makes a directory and those above it, once or again', async () => {
    await using dir = await tempDir()
    const path = join(dir.path, 'a', 'b', 'c')
    await nodeFiles.makeDir(path)
    await nodeFiles.makeDir(path)
    assert.deepEqual(await nodeFiles.list(join(dir.path, 'a')), ['b'])
    await nodeFiles.syncDir(path)
  })

  it('writes pieces at their place, cuts, reads to the end, and deletes', async () => {
    await using dir = await tempDir()
    const path = join(dir.path, 'file')
    const file = await nodeFiles.open(path, 'write')
    const [empty, ab, c] = [new Uint8Array(0), Buffer.from('ab'), Buffer.from('c')]
    await file.write([ab, empty, c], 0)
    await file.write([Buffer.from('XYZ')], 2)
    await file.write([empty], 0)
    await file.dataSync()
    assert.equal(await readFile(path, 'utf8'), 'abXYZ')
    await file.truncate(4)
    assert.equal(await file.sizeBytes(), 4)
    await file.close()
    const again = await nodeFiles.open(path, 'read')
    const target = new Uint8Array(10)
    assert.equal(await again.read(target, 1), 3)
    assert.equal(Buffer.from(target.subarray(0, 3)).toString(), 'bXY')
    assert.equal(await again.read(target, 4), 0)
    await again.close()
    await nodeFiles.unlink(path)
    await assert.rejects(nodeFiles.open(path, 'read'), { code: 'ENOENT' })
  })

  it('keeps what a file has when it is opened to write', async () => {
    await using dir = await tempDir()
    const path = join(dir.path, 'file')
    for (const text of ['abcd', 'XY']) {
      const file = await nodeFiles.open(path, 'write')
      await file.write([Buffer.from(text)], 0)
      await file.close()
    }
    assert.equal(await readFile(path, 'utf8'), 'XYcd')
  })

  it('knows how much is free', async () => {
    await using dir = await tempDir()
    const freeBytes = await nodeFiles.freeBytes(dir.path)
    assert.ok(Number.isSafeInteger(freeBytes) && freeBytes > 0)
  })
})
