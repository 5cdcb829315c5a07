import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { FILE_EXISTS, replaceFile, rewriteFile, writeNewFile } from '../../../src/base/durable-file.js'
import { isSubnetError } from '../../../src/base/errors.js'
import { seededRandom } from '../../../src/base/random.js'
import { type TempDir, tempDir } from '../../kit/temp-dir.js'

describe('durable files', () => {
  const random = seededRandom('durable')
  let directory: TempDir
  let path: string
  beforeEach(async () => {
    directory = await tempDir()
    path = join(directory.path, 'deep', 'file')
  })
  afterEach(() => directory[Symbol.asyncDispose]())

  it('writes a new one with its directories, for the owner only, and nothing beside it', async () => {
    await writeNewFile(path, 'one', random)
    assert.equal(await readFile(path, 'utf8'), 'one')
    assert.equal((await stat(path)).mode & 0o777, 0o600)
    assert.deepEqual(await readdir(join(path, '..')), ['file'])
  })

  it('rewrites one again and again, past what a killed process has left of the last time', async () => {
    await rewriteFile(path, 'one')
    await writeFile(`${path}.tmp`, 'torn, and longer than the next')
    await rewriteFile(path, 'two')
    assert.equal(await readFile(path, 'utf8'), 'two')
    assert.equal((await stat(path)).mode & 0o777, 0o600)
    assert.deepEqual(await readdir(join(path, '..')), ['file'])
  })

  it('does not replace one that exists unless told so, not even an empty one', async () => {
    await mkdir(join(path, '..'))
    await writeFile(path, '')
    await assert.rejects(
      writeNewFile(path, 'two', random),
      (error) => isSubnetError(error, 'CONFIG') && error.data.reason === FILE_EXISTS,
    )
    assert.equal(await readFile(path, 'utf8'), '')
    await replaceFile(path, 'three', random)
    assert.equal(await readFile(path, 'utf8'), 'three')
    assert.deepEqual(await readdir(join(path, '..')), ['file'])
  })

  it('keeps what was there when it cannot write, and leaves nothing behind', async () => {
    await mkdir(path, { recursive: true })
    await assert.rejects(replaceFile(path, 'x', random), (error) => isSubnetError(error, 'DISK'))
    assert.ok((await stat(path)).isDirectory())
    assert.deepEqual(await readdir(join(path, '..')), ['file'])
  })
})
