import assert from 'node:assert/strict'
import { readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isSubnetError } from '../../../src/base/errors.js'
import { type CatalogueRecord, idOf, ObjectCatalogue } from '../../../src/node/object-catalogue.js'
import { formatCapability } from '../../../src/redundancy/capability.js'
import { type TempDir, tempDir } from '../../kit/temp-dir.js'
import { testId } from '../../kit/test-chunk.js'

const SUBNET = '0xab/1'

function recordOf(number: number, fields: Partial<CatalogueRecord> = {}): CatalogueRecord {
  const capability = formatCapability({
    kind: 'read',
    address: testId(32, number),
    objectKey: testId(32, 100 + number),
  })
  return {
    id: idOf(capability),
    name: `file ${number}`,
    sizeBytes: 10 * number,
    profile: 'small',
    class: 'private',
    capability,
    putAtMs: 1_000_000 - number,
    endBlock: 500,
    endsAtMs: 2_000_000,
    subnet: SUBNET,
    ...fields,
  }
}

const refused = (pattern: RegExp) => (error: unknown) =>
  isSubnetError(error, 'INVALID') && pattern.test(error.message)

async function collect(source: AsyncIterable<CatalogueRecord>): Promise<CatalogueRecord[]> {
  const all: CatalogueRecord[] = []
  for await (const each of source) all.push(each)
  return all
}

describe('ObjectCatalogue', () => {
  let directory: TempDir
  let path: string
  let catalogue: ObjectCatalogue

  beforeEach(async () => {
    directory = await tempDir()
    path = join(directory.path, 'client', 'objects')
    catalogue = new ObjectCatalogue(path)
  })

  afterEach(() => directory?.[Symbol.asyncDispose]())

  it('lists nothing before anything was put', async () => {
    assert.deepEqual(await collect(catalogue.records()), [])
  })

  it('lists what was added, the oldest first, also when it is opened again', async () => {
    for (const number of [1, 3, 2]) await catalogue.add(recordOf(number))
    const again = new ObjectCatalogue(path)
    assert.deepEqual(
      await collect(again.records()),
      [3, 2, 1].map((number) => recordOf(number)),
    )
  })

  it('lets nobody else read it', async () => {
    await catalogue.add(recordOf(1))
    const [name = ''] = await readdir(path)
    assert.equal((await stat(path)).mode & 0o777, 0o700)
    assert.equal((await stat(join(path, name))).mode & 0o777, 0o600)
  })

  it('has one record of an object that is added again, at whatever time', async () => {
    await catalogue.add(recordOf(1))
    const later = recordOf(1, { putAtMs: 3_000_000, endBlock: 900 })
    await catalogue.add(later)
    assert.deepEqual(await collect(catalogue.records()), [later])
  })

  it('knows the later end of an object that is renewed, and forgets one that is let go', async () => {
    await catalogue.add(recordOf(1))
    await catalogue.add(recordOf(2))
    const end = { endBlock: 700, endsAtMs: 9_000_000 }
    await catalogue.renew(recordOf(1).capability, end)
    await catalogue.renew(recordOf(3).capability, end)
    await catalogue.remove(recordOf(2).capability)
    await catalogue.remove(recordOf(3).capability)
    assert.deepEqual(await collect(catalogue.records()), [recordOf(1, end)])
  })

  it('passes over files that are not its own, or torn', async () => {
    await catalogue.add(recordOf(1))
    await writeFile(join(path, 'notes.txt'), 'hello')
    await writeFile(join(path, `${'0'.repeat(13)}-${'ab'.repeat(32)}.json`), '{"version":0')
    assert.deepEqual(await collect(catalogue.records()), [recordOf(1)])
  })

  describe('what a user writes', () => {
    const resolve = async (text: string) => (await catalogue.find(text))(SUBNET)

    it('is refused when it is a capability with a mistake, on whatever subnet', async () => {
      const { capability } = recordOf(1)
      for (const mistyped of ['subnet:garbage', capability.slice(0, -1), `${capability}x`])
        await assert.rejects(catalogue.find(mistyped), refused(/not a capability/), mistyped)
    })

    it('is a capability, or the name or the beginning of the id of one listed object', async () => {
      await catalogue.add(recordOf(1))
      await catalogue.add(recordOf(2))
      const { capability, id } = recordOf(2)
      assert.equal(await resolve(recordOf(3).capability), recordOf(3).capability)
      assert.equal(await resolve('file 2'), capability)
      assert.equal(await resolve(id.slice(0, 4)), capability)
      assert.equal(await resolve(id), capability)
    })

    it('is refused when it stands for several, with their ids', async () => {
      await catalogue.add(recordOf(1, { name: 'same' }))
      await catalogue.add(recordOf(2, { name: 'same' }))
      const ids = [2, 1].map((number) => recordOf(number).id.slice(0, 12))
      await assert.rejects(resolve('same'), refused(new RegExp(`stands for 2 objects: ${ids.join(', ')}`)))
    })

    it('is refused when it stands for none, or only for one of another subnet', async () => {
      await catalogue.add(recordOf(1, { subnet: 'other' }))
      await assert.rejects(catalogue.find('file 2'), refused(/no listed object has this name or id; see/))
      await assert.rejects(resolve('file 1'), refused(/1 of another subnet match/))
      await assert.rejects(catalogue.find(recordOf(1).id.slice(0, 3)), refused(/no capability/))
    })
  })
})
