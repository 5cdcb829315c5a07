/**
 * The one writer of a shard: takes mutations in groups and makes each group durable in the order that makes an answer
 * true: bodies synced, their file's name synced, then the index in one synced step, and only then the answers. While one
 * group is synced the bodies of the next are written. After a failed write or sync it writes no more; the shard is
 * opened anew. It also gives the room of dead bodies back.
 */
import type { AbortOptions } from '../base/abort.js'
import { SubnetError, toSubnetError } from '../base/errors.js'
import { MIB } from '../base/units.js'
import type { BodyFiles } from './body-files.js'
import type { DiskFiles } from './disk-files.js'
import { type FinishGroup, GroupCommit } from './group-commit.js'
import {
  type BodyFileRow,
  chunkKey,
  decodeChunkRow,
  decodeFileRow,
  decodeLossCount,
  EMPTY_FILE,
  fileOfKey,
  fileRange,
  isDead,
  keyText,
  lossCountKey,
  memberRange,
  type Place,
  placeOfKey,
  trashKey,
} from './index-codec.js'
import { diskFull, IndexDraft } from './index-draft.js'
import type { IndexChange, IndexDb } from './level-index.js'
import { type Mutation, moveChunk } from './mutations.js'
import type { ShardUsage } from './shard.js'

export interface ShardWriterComponents {
  readonly files: DiskFiles
  readonly index: IndexDb
  readonly bodies: BodyFiles
}

export interface ShardWriterInit {
  /** The shard's directory. */
  readonly path: string
  /** Length from which a body file gets no more bodies. */
  readonly bodyFileBytes: number
  /** What new bodies leave free on the disk, bytes. Moved ones leave half of it, everything else a quarter. */
  readonly reserveBytes: number
  /** Bytes that wait from which a group is written while the one before is synced. */
  readonly overlapBytes: number
}

/** Bodies written at once: enough to make a sync cheap, little enough that nobody waits long for one. */
const GROUP_BYTES_MAX = 16 * MIB
/** Bodies in memory behind the group that is written. */
const WAITING_BYTES_MAX = 256 * MIB
/** Bodies read at once when a file is emptied. */
const MOVED_TOGETHER = 8
const LOSSES = keyText(lossCountKey)

interface Job {
  readonly mutation: Mutation<unknown>
  readonly costBytes: number
  readonly signal: AbortSignal | undefined
}

export class ShardWriter {
  readonly #components: ShardWriterComponents
  readonly #init: ShardWriterInit
  readonly #commits: GroupCommit<Job>
  /** Every body file that holds a chunk. */
  readonly #table = new Map<number, BodyFileRow>()
  readonly #usage = { chunks: 0, bytes: 0, trashBytes: 0, diskBytes: 0, lostChunks: 0 }
  /** Files that are more dead than alive and wait to be emptied. */
  readonly #sparse = new Set<number>()
  /** Number of the file that gets the next body. */
  #tail = 1
  /** The newest group whose bodies are written and that is not durable yet. */
  #written: IndexDraft | undefined
  #failure: SubnetError | undefined
  #moving: Promise<void> | undefined
  #closing = false

  constructor(components: ShardWriterComponents, init: ShardWriterInit) {
    this.#components = components
    this.#init = init
    this.#commits = new GroupCommit<Job>((group) => this.#commit(group), {
      groupBytesMax: GROUP_BYTES_MAX,
      waitingBytesMax: WAITING_BYTES_MAX,
      overlapBytes: init.overlapBytes,
    })
  }

  /** Reads the counts of the body files and drops what a crash left behind. Once, before anything else. */
  async recover(): Promise<void> {
    for await (const [key, value] of this.#components.index.entries(fileRange)) {
      this.#count(fileOfKey(key), decodeFileRow(value))
    }
    this.#usage.lostChunks = decodeLossCount(await this.#components.index.get(lossCountKey)).listed
    this.#tail = await this.#components.bodies.recover(this.#table)
    this.#makeRoom()
  }

  usage(): ShardUsage {
    return { ...this.#usage }
  }

  /** Why nothing is written any more. */
  get failure(): SubnetError | undefined {
    return this.#failure
  }

  /** Resolves when the mutation is durable; `DISK` when it is not known whether it is, and ever after. */
  async run<T>(mutation: Mutation<T>, options: AbortOptions = {}): Promise<T> {
    options.signal?.throwIfAborted()
    if (this.#closing) throw new SubnetError('STOPPED', 'the shard is stopped')
    const result = await this.#commits.run({
      mutation,
      costBytes: mutation.costBytes,
      signal: options.signal,
    })
    // A job's result is what its own mutation returned.
    return result as T
  }

  /** Waits for what is in flight. */
  async close(): Promise<void> {
    this.#closing = true
    await this.#moving
    await this.#commits.idle()
  }

  /** Drafts a group and writes its bodies; what it returns makes it durable. */
  async #commit(group: readonly Job[]): Promise<FinishGroup> {
    if (this.#failure !== undefined) throw this.#failure
    const before = this.#written
    const [freeBytes, values] = await Promise.all([this.#freeBytes(), this.#values(group, before)])
    const files = { get: (file: number) => before?.files.get(file) ?? this.#table.get(file) }
    const place = { file: this.#tail, offset: files.get(this.#tail)?.lengthBytes ?? 0 }
    const draft = new IndexDraft({ values, files, place, freeBytes })
    const results = group.map((job) => this.#apply(job, draft))
    const sync = await this.#append(place, draft)
    if (sync instanceof SubnetError) return this.#commitWithoutBodies(group, sync)
    this.#written = draft
    this.#leaveTail(draft.files)
    return async () => {
      try {
        await this.#finish(draft, sync)
      } finally {
        if (this.#written === draft) this.#written = undefined
      }
      return results
    }
  }

  /** Writes the bodies; returns what makes them safe, or the failure if the disk has no room. */
  async #append(place: Place, draft: IndexDraft): Promise<(() => Promise<void>) | SubnetError> {
    try {
      return draft.bodies.length === 0
        ? async () => undefined
        : await this.#components.bodies.append(place, draft.bodies)
    } catch (error) {
      const failure = toSubnetError(error, 'DISK')
      if (failure.code !== 'NO_SPACE') throw this.#fail(failure)
      return failure
    }
  }

  async #finish(draft: IndexDraft, sync: () => Promise<void>): Promise<void> {
    const fail = (error: unknown) => {
      throw this.#fail(toSubnetError(error, 'DISK'))
    }
    await sync().catch(fail)
    // The group before failed in the meantime: this one is built on it.
    if (this.#failure !== undefined) throw this.#failure
    const changes = draft.changes()
    if (changes.length === 0) return
    await this.#components.index.write(changes).catch(fail)
    await this.#settle(draft.files, changes)
  }

  /** The disk had no room for the bodies of this group: what needs none is done all the same. */
  async #commitWithoutBodies(group: readonly Job[], failure: SubnetError): Promise<FinishGroup> {
    const others = group.filter(({ mutation }) => mutation.body === 'none')
    const finish = others.length === 0 ? async () => [] : await this.#commit(others)
    return async () => {
      const results = await finish()
      return group.map(
        (job) => results[others.indexOf(job)] ?? { status: 'rejected' as const, reason: failure },
      )
    }
  }

  #apply({ mutation, signal }: Job, draft: IndexDraft): PromiseSettledResult<unknown> {
    try {
      // Only here: a caller that is told "aborted" may use its buffers again, so they must not be read after that.
      signal?.throwIfAborted()
      const spareBytes = this.#init.reserveBytes / (mutation.body === 'moved' ? 2 : 1)
      return { status: 'fulfilled', value: mutation.apply(draft, spareBytes) }
    } catch (reason) {
      return { status: 'rejected', reason }
    }
  }

  /**
   * LevelDB acknowledges what it writes behind a record that a full disk tore, and has lost it at the next start. So it
   * never gets to see a full disk: below a quarter of the reserve nothing is written at all.
   */
  async #freeBytes(): Promise<number> {
    const freeBytes = await this.#components.files.freeBytes(this.#init.path).catch((cause: unknown) => {
      throw new SubnetError('DISK', 'the free space cannot be read', { cause })
    })
    if (freeBytes < this.#init.reserveBytes / 4) throw diskFull(freeBytes)
    return freeBytes
  }

  /** What the mutations read, as the group `before` leaves it. */
  async #values(
    group: readonly Job[],
    before: IndexDraft | undefined,
  ): Promise<Map<string, Uint8Array | undefined>> {
    const keys = new Map<string, Uint8Array>()
    for (const { mutation } of group) for (const key of mutation.keys) keys.set(keyText(key), key)
    const values = await this.#components.index.getMany([...keys.values()])
    return new Map(
      [...keys.keys()].map((text, index) => {
        const change = before?.change(text)
        return [text, change === undefined ? values[index] : change.value]
      }),
    )
  }

  #fail(failure: SubnetError): SubnetError {
    this.#failure ??= failure
    return this.#failure
  }

  /** The next body goes to a new file when the tail is full, or will be deleted because nothing in it counts any more. */
  #leaveTail(files: ReadonlyMap<number, BodyFileRow>): void {
    const row = files.get(this.#tail)
    if (row !== undefined && (isDead(row) || row.lengthBytes >= this.#init.bodyFileBytes)) this.#tail += 1
  }

  /** Takes over the counts that are durable now. */
  async #settle(files: ReadonlyMap<number, BodyFileRow>, changes: readonly IndexChange[]): Promise<void> {
    for (const [file, row] of files) this.#count(file, row)
    for (const { key, value } of changes) {
      if (keyText(key) === LOSSES) this.#usage.lostChunks = decodeLossCount(value).listed
    }
    const dead = [...files].filter(([, row]) => isDead(row)).map(([file]) => file)
    for (const file of dead) {
      // The index does not name it any more: if it cannot be deleted now, the next start does it.
      await this.#components.bodies.remove(file).catch(() => undefined)
    }
    this.#makeRoom()
  }

  #count(file: number, row: BodyFileRow): void {
    const before = this.#table.get(file) ?? EMPTY_FILE
    const dead = isDead(row)
    this.#usage.chunks += row.liveChunks - before.liveChunks
    this.#usage.bytes += row.liveBytes - before.liveBytes
    this.#usage.trashBytes += row.trashBytes - before.trashBytes
    this.#usage.diskBytes += (dead ? 0 : row.lengthBytes) - before.lengthBytes
    if (dead) this.#table.delete(file)
    else this.#table.set(file, row)
    // At most half of the disk is wasted so, and a body is moved at most once for each byte that dies beside it.
    if (!dead && row.lengthBytes > 2 * (row.liveBytes + row.trashBytes)) this.#sparse.add(file)
    else this.#sparse.delete(file)
  }

  /** Empties sparse files in the background, one at a time. */
  #makeRoom(): void {
    if (this.#moving !== undefined || this.#sparse.size === 0 || this.#closing) return
    this.#moving = this.#emptySparse().then(
      () => {
        this.#moving = undefined
      },
      () => {
        // Nothing is lost: a failed write is remembered and told to the next caller, a full disk or an unreadable
        // body leaves the file as it is. The next change of a sparse file tries again.
        this.#moving = undefined
      },
    )
  }

  async #emptySparse(): Promise<void> {
    for (const file of this.#sparse) {
      if (this.#closing) return
      this.#sparse.delete(file)
      if (file === this.#tail) this.#tail += 1
      await this.#empty(file)
    }
  }

  /** Gives every chunk of a file a new place; the last one to leave takes the file with it. */
  async #empty(file: number): Promise<void> {
    let from: Place | undefined = { file, offset: 0 }
    while (from !== undefined && !this.#closing) {
      const members: { place: Place; digest: Uint8Array }[] = []
      const range = { ...memberRange(from), limit: MOVED_TOGETHER }
      for await (const [key, digest] of this.#components.index.entries(range)) {
        members.push({ place: placeOfKey(key), digest })
      }
      await Promise.all(members.map(({ place, digest }) => this.#move(digest, place)))
      const last = members.at(-1)
      from = last === undefined ? undefined : { file, offset: last.place.offset + 1 }
    }
  }

  async #move(digest: Uint8Array, from: Place): Promise<void> {
    const [held, trash] = await this.#components.index.getMany([chunkKey(digest), trashKey(digest)])
    const value = held ?? trash
    if (value === undefined) return
    const body = await this.#components.bodies.read(from, decodeChunkRow(value).sizeBytes)
    await this.run(moveChunk(digest, from, body))
  }
}
