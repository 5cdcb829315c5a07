import assert from 'node:assert/strict'
import { readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type JournalSource, PutJournalFile, pruneJournals } from '../../../src/node/put-journal-file.js'
import type { PutRecord } from '../../../src/transfer/put-journal.js'
import type { UploadReport } from '../../../src/transfer/upload-report.js'
import { type TempDir, tempDir } from '../../kit/temp-dir.js'
import { testId } from '../../kit/test-chunk.js'

const SOURCE: JournalSource = {
  path: '/a/file',
  sizeBytes: 5,
  modifiedMs: 1.5,
  profile: 'small',
  class: 'private',
  subnet: '0x00/1',
}
const RECORD: PutRecord = {
  objectKey: testId(32, 1),
  put: testId(16, 2),
  validator: testId(32, 3),
  profile: 'small',
  class: 'private',
  createdUnixSeconds: 7,
}
const COMMITTING: UploadReport = {
  address: testId(32, 4),
  class: 'private',
  sizeBytes: 5,
  storedBytes: 6,
  sentBytes: 7,
  reusedBytes: 8,
  segments: 1,
  endBlock: 9,
  weakestReceipts: 10,
  fullReceipts: 10,
  holders: [{ hotkey: '5F', peerId: '12D', chunks: 1, bytes: 2, holdsManifest: true }],
  retries: 0,
}

describe('PutJournalFile', () => {
  let directory: TempDir
  let path: string

  beforeEach(async () => {
    directory = await tempDir()
    path = join(directory.path, 'puts')
  })
  afterEach(() => directory[Symbol.asyncDispose]())

  it('gives back what it was given, to a later run too, until it is removed', async () => {
    const journal = new PutJournalFile(path, SOURCE)
    assert.equal(await journal.load(), undefined)
    await journal.save(RECORD)
    assert.deepEqual(await new PutJournalFile(path, SOURCE).load(), RECORD)
    for (const committing of [
      COMMITTING,
      { ...COMMITTING, warning: 'small' },
      { ...COMMITTING, class: 'public', fileCid: 'bafk' } as const,
    ]) {
      await journal.save({ ...RECORD, committing })
      assert.deepEqual(await journal.load(), { ...RECORD, committing })
    }
    await journal.remove()
    assert.equal(await journal.load(), undefined)
    await journal.remove()
  })

  it('is for its owner alone, and complete or absent', async () => {
    const journal = new PutJournalFile(path, SOURCE)
    await journal.save(RECORD)
    assert.equal((await stat(journal.path)).mode & 0o777, 0o600)
    assert.equal((await stat(path)).mode & 0o777, 0o700)
    assert.equal((await readdir(path)).length, 1)
    const { source } = JSON.parse(await readFile(journal.path, 'utf8'))
    assert.deepEqual(source, { path: '/a/file', sizeBytes: 5, modifiedMs: 1.5 })
  })

  it('is another one for other bytes, another profile or another subnet', async () => {
    await new PutJournalFile(path, SOURCE).save(RECORD)
    const others: Partial<JournalSource>[] = [
      { path: '/a/other' },
      { sizeBytes: 6 },
      { modifiedMs: 2 },
      { profile: 'copies' },
      { subnet: '0x00/2' },
    ]
    for (const other of others) {
      assert.equal(await new PutJournalFile(path, { ...SOURCE, ...other }).load(), undefined)
    }
  })

  it('has nothing to go on from when it is torn or of another version', async () => {
    const journal = new PutJournalFile(path, SOURCE)
    await journal.save(RECORD)
    const text = await readFile(journal.path, 'utf8')
    for (const bad of ['', text.slice(0, 40), text.replace('"version":1', '"version":0'), '{}']) {
      await writeFile(journal.path, bad)
      assert.equal(await journal.load(), undefined)
    }
  })

  it('says which living process is at it', async () => {
    const journal = new PutJournalFile(path, SOURCE)
    assert.equal(await journal.usedBy(), undefined)
    await journal.save(RECORD)
    assert.equal(await journal.usedBy(), undefined, 'we ourselves are')
    const text = await readFile(journal.path, 'utf8')
    await writeFile(journal.path, text.replace(/"pid":\d+/, `"pid":${process.ppid}`))
    assert.equal(await journal.usedBy(), process.ppid)
    await writeFile(journal.path, text.replace(/"pid":\d+/, '"pid":999999999'))
    assert.equal(await journal.usedBy(), undefined)
  })

  it('is removed when it is a week old', async () => {
    const journal = new PutJournalFile(path, SOURCE)
    await pruneJournals(path, 0)
    await journal.save(RECORD)
    const { mtimeMs } = await stat(journal.path)
    await pruneJournals(path, mtimeMs + 7 * 24 * 3_600_000)
    assert.notEqual(await journal.load(), undefined)
    await utimes(journal.path, 1, 1)
    await pruneJournals(path, mtimeMs)
    assert.equal(await journal.load(), undefined)
  })
})
