import assert from 'node:assert/strict'
import { mkdir, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeDirectory } from '../../../src/base/make-directory.js'
import { tempDir } from '../../kit/temp-dir.js'

describe('makeDirectory', () => {
  it('makes what is missing with its mode and says where it began, at the same time as others', async () => {
    await using directory = await tempDir()
    const path = join(directory.path, 'a', 'b', 'c')
    const made = await Promise.all([1, 2, 3].map(() => makeDirectory(path, 0o700)))
    assert.ok(made.includes(join(directory.path, 'a')))
    assert.equal((await stat(path)).mode & 0o777, 0o700)
    assert.equal(await makeDirectory(path), undefined)
    await mkdir(join(directory.path, 'd'))
    assert.equal(await makeDirectory(join(directory.path, 'd', 'e')), join(directory.path, 'd', 'e'))
  })

  it('fails at once where nothing can be made', async () => {
    await using directory = await tempDir()
    const file = join(directory.path, 'file')
    await writeFile(file, '')
    const link = join(directory.path, 'link')
    await symlink(join(directory.path, 'nowhere'), link)
    const refused = [
      ['/proc/nothing/here', 'ENOENT'],
      [join(file, 'below'), 'ENOTDIR'],
      [file, 'EEXIST'],
      [link, 'ENOENT'],
    ] as const
    for (const [path, code] of refused) await assert.rejects(makeDirectory(path), { code }, path)
  })
})
