import assert from 'node:assert/strict'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isSubnetError } from '../../../src/base/errors.js'
import { seededRandom } from '../../../src/base/random.js'
import { claimDataDirectory, DATA_LAYOUT } from '../../../src/node/data-stamp.js'
import { loadOrCreatePeerKey } from '../../../src/node/peer-key.js'
import { tempDir } from '../../kit/temp-dir.js'

const STAMP = { role: 'miner', hotkey: '5abc', genesisHash: '0x01' }

describe('claimDataDirectory', () => {
  it('stamps a fresh directory and knows it again', async () => {
    await using directory = await tempDir()
    await claimDataDirectory(directory.path, STAMP)
    await claimDataDirectory(directory.path, STAMP)
    assert.deepEqual(await readdir(directory.path), ['stamp.json'])
  })

  for (const other of [{ role: 'validator' }, { hotkey: '5xyz' }, { genesisHash: '0x02' }]) {
    it(`refuses a directory with another ${Object.keys(other)[0]}, and writes nothing`, async () => {
      await using directory = await tempDir()
      await claimDataDirectory(directory.path, STAMP)
      const before = await readFile(join(directory.path, 'stamp.json'), 'utf8')
      await assert.rejects(
        claimDataDirectory(directory.path, { ...STAMP, ...other }),
        (error) => isSubnetError(error, 'DATA_DIR') && error.data.field === Object.keys(other)[0],
      )
      assert.equal(await readFile(join(directory.path, 'stamp.json'), 'utf8'), before)
    })
  }

  it('refuses data of a newer program', async () => {
    await using directory = await tempDir()
    const newer = JSON.stringify({ layout: DATA_LAYOUT + 1, ...STAMP })
    await writeFile(join(directory.path, 'stamp.json'), newer)
    await assert.rejects(claimDataDirectory(directory.path, STAMP), /data layout 5, this program reads 4/)
  })

  it('refuses a torn stamp', async () => {
    await using directory = await tempDir()
    await writeFile(join(directory.path, 'stamp.json'), '{"layout":1,')
    await assert.rejects(claimDataDirectory(directory.path, STAMP), (error) =>
      isSubnetError(error, 'DATA_DIR'),
    )
  })
})

describe('loadOrCreatePeerKey', () => {
  it('makes a key once and keeps it', async () => {
    await using directory = await tempDir()
    const made = await loadOrCreatePeerKey(directory.path, seededRandom('one'))
    assert.deepEqual(await loadOrCreatePeerKey(directory.path, seededRandom('two')), made)
  })

  it('refuses a torn key and does not replace it', async () => {
    await using directory = await tempDir()
    const path = join(directory.path, 'peer-key')
    await writeFile(path, 'abcd')
    await assert.rejects(loadOrCreatePeerKey(directory.path, seededRandom('one')), (error) =>
      isSubnetError(error, 'CONFIG'),
    )
    assert.equal(await readFile(path, 'utf8'), 'abcd')
  })
})
