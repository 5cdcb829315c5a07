/**
 * A devchain's directory: its name and secret, the newest snapshot of its state, and a log of the blocks since. A block is
 * in the log before anybody hears of it, so a killed process loses none; what a power cut takes is like a reorg to its
 * users. One process at a time: the directory's lock is its owner's business.
 *
 *   chain.json       genesis hash and secret
 *   <n>.snapshot     the n-th snapshot, complete or absent
 *   <n>.log          frames (`store-codec.ts`) of the blocks after it; a torn last one is cut off
 */
import {
  closeSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { toString as bytesToText, equals, fromString } from 'uint8arrays'
import * as z from 'zod'
import { invariant, SubnetError } from '../../base/errors.js'
import { makeDirectory } from '../../base/make-directory.js'
import type { BlockHead } from '../chain.js'
import { type Block, nextBlock } from './block.js'
import type { OperationOutcome } from './devchain.js'
import { type DevchainState, stateRoot } from './ledger.js'
import { decodeOperation, operationId } from './operation.js'
import { decodeFrames, decodeValue, encodeFrame, encodeValue } from './store-codec.js'

const FORMAT = 1
const NAME_FILE = 'chain.json'
/** Blocks between two snapshots: how much there is to run again at a start. */
export const SNAPSHOT_BLOCKS = 512

const nameSchema = z.strictObject({
  format: z.literal(FORMAT),
  genesisHash: z.string(),
  secret: z.string().regex(/^[0-9a-f]{64}$/),
})

export interface StoreOpening {
  readonly genesisHash: string
  /** What a fresh directory starts with. */
  readonly genesis: Block
  readonly secret: Uint8Array
}

export type Outcomes = ReadonlyArray<readonly [id: string, outcome: OperationOutcome]>

export interface Restored {
  readonly secret: Uint8Array
  readonly reorgs: readonly number[]
  readonly outcomes: Outcomes
  /** That of the snapshot, and all since. */
  readonly blocks: readonly Block[]
}

export interface Snapshot {
  readonly block: Block
  readonly reorgs: readonly number[]
  /** Of the operations in recent blocks: who asks for one again after a restart gets it, and nothing twice. */
  readonly outcomes: Outcomes
}

interface StoredSnapshot {
  readonly head: BlockHead
  readonly root: Uint8Array
  readonly state: DevchainState
  readonly reorgs: readonly number[]
  readonly outcomes: Outcomes
}

interface StoredBlock {
  readonly timestampMs: number
  readonly hash: string
  readonly bodies: readonly Uint8Array[]
}

export class DevchainStore {
  readonly #path: string
  #number = 0
  #log: { readonly file: number; bytes: number; blocks: number } | undefined

  constructor(path: string) {
    this.#path = path
  }

  /** Reads what is there. Rejects with `DATA_DIR` when it is of another chain or damaged, `DISK` when it cannot be read. */
  async open(opening: StoreOpening): Promise<Restored> {
    try {
      await makeDirectory(this.#path, 0o700)
      const secret = await this.#claim(opening)
      const numbers = (await readdir(this.#path)).flatMap((name) => /^(\d+)\.snapshot$/.exec(name)?.[1] ?? [])
      if (numbers.length === 0) {
        this.#write({ block: opening.genesis, reorgs: [], outcomes: [] }, 0)
        return { secret, reorgs: [], outcomes: [], blocks: [opening.genesis] }
      }
      this.#number = Math.max(...numbers.map(Number))
      return { secret, ...(await this.#read(opening.genesisHash)) }
    } catch (cause) {
      if (cause instanceof SubnetError) throw cause
      throw new SubnetError('DISK', `cannot work in the devchain's directory ${this.#path}`, { cause })
    }
  }

  /** Forgets the chain: the next `open` begins anew. */
  async clear(): Promise<void> {
    const names = await readdir(this.#path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return []
      throw error
    })
    for (const name of names) {
      if (name === NAME_FILE || /^\d+\.(?:snapshot|log)$/.test(name)) await rm(join(this.#path, name))
    }
  }

  /** Throws when the disk takes no block; the log is then as it was. */
  append(block: Block): void {
    const log = this.#log
    invariant(log, 'the devchain’s store is not open')
    const stored: StoredBlock = {
      timestampMs: block.head.timestampMs,
      hash: block.head.hash,
      bodies: block.operations.map(({ body }) => body),
    }
    const frame = encodeFrame(encodeValue(stored))
    try {
      const written = writeSync(log.file, frame, 0, frame.length, log.bytes)
      if (written < frame.length) throw new SubnetError('DISK', 'the disk took a part of the block only')
    } catch (error) {
      ftruncateSync(log.file, log.bytes)
      throw error
    }
    log.bytes += frame.length
    log.blocks += 1
  }

  get isOpen(): boolean {
    return this.#log !== undefined
  }

  get snapshotDue(): boolean {
    return (this.#log?.blocks ?? 0) >= SNAPSHOT_BLOCKS
  }

  /** Replaces snapshot and log; the old ones stay until the new ones are complete. */
  snapshot(snapshot: Snapshot): void {
    this.#write(snapshot, this.#number + 1)
  }

  close(): void {
    if (this.#log !== undefined) closeSync(this.#log.file)
    this.#log = undefined
  }

  #file(number: number, kind: 'snapshot' | 'log'): string {
    return join(this.#path, `${number}.${kind}`)
  }

  /** The chain's secret: that of the directory, or in a fresh one that of the opening. */
  async #claim({ genesisHash, secret }: StoreOpening): Promise<Uint8Array> {
    const file = join(this.#path, NAME_FILE)
    const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined
      throw error
    })
    if (text === undefined) {
      const name = { format: FORMAT, genesisHash, secret: bytesToText(secret, 'base16') }
      writeWhole(file, Buffer.from(`${JSON.stringify(name)}\n`))
      return secret
    }
    const name = parseName(text)
    if (name === undefined) throw this.#damaged(`${NAME_FILE} is torn, or of another version`)
    if (name.genesisHash !== genesisHash) {
      const message = `${this.#path} holds another chain, with genesis ${name.genesisHash}: start with the settings it was made with, begin anew with --fresh, or use another directory`
      const data = { reason: 'GenesisChanged', path: this.#path, found: name.genesisHash, own: genesisHash }
      throw new SubnetError('DATA_DIR', message, { data })
    }
    return fromString(name.secret, 'base16')
  }

  async #read(genesisHash: string): Promise<Omit<Restored, 'secret'>> {
    const [frame] = decodeFrames(await readFile(this.#file(this.#number, 'snapshot'))).payloads
    const stored = frame === undefined ? undefined : (decodeValue(frame) as StoredSnapshot)
    if (stored === undefined || !equals(stateRoot(stored.state), stored.root))
      throw this.#damaged(`snapshot ${this.#number} does not verify`)
    const { head, state, root, reorgs, outcomes } = stored
    const blocks: Block[] = [{ head, state, root, operations: [], refusals: [] }]
    const logFile = this.#file(this.#number, 'log')
    const log = await readFile(logFile)
    const { payloads, bytes } = decodeFrames(log)
    for (const payload of payloads) {
      const parent = blocks.at(-1)
      invariant(parent, 'there is at least the block of the snapshot')
      blocks.push(this.#replayed(parent, decodeValue(payload) as StoredBlock, genesisHash, reorgs.length))
    }
    const file = openSync(logFile, 'r+')
    ftruncateSync(file, bytes)
    this.#log = { file, bytes, blocks: payloads.length }
    await this.#removeOthers()
    return { reorgs, outcomes, blocks }
  }

  #replayed(
    parent: Block,
    { timestampMs, hash, bodies }: StoredBlock,
    genesisHash: string,
    reorgs: number,
  ): Block {
    const operations = bodies.map((body) => ({
      id: operationId(body),
      body,
      operation: decodeOperation(body, genesisHash),
    }))
    const block = nextBlock(parent, { operations, timestampMs, reorgs })
    if (block.head.hash !== hash)
      throw this.#damaged(`block ${block.head.number} does not come out as it was: it is of another version`)
    return block
  }

  #write({ block, reorgs, outcomes }: Snapshot, number: number): void {
    const { head, root, state } = block
    const stored: StoredSnapshot = { head, root, state, reorgs, outcomes }
    // The log first: whoever finds the snapshot may take it that nothing came after but what is in its log.
    const file = openSync(this.#file(number, 'log'), 'w', 0o600)
    try {
      writeWhole(this.#file(number, 'snapshot'), encodeFrame(encodeValue(stored)))
    } catch (error) {
      closeSync(file)
      throw error
    }
    this.close()
    this.#log = { file, bytes: 0, blocks: 0 }
    const before = this.#number
    this.#number = number
    if (before === number) return
    rmSync(this.#file(before, 'snapshot'), { force: true })
    rmSync(this.#file(before, 'log'), { force: true })
  }

  /** What a process that ended in between has left. */
  async #removeOthers(): Promise<void> {
    for (const name of await readdir(this.#path)) {
      const match = /^(\d+)\.(?:snapshot|log|snapshot\.tmp)$/.exec(name)
      if (match !== null && (Number(match[1]) !== this.#number || name.endsWith('.tmp')))
        await rm(join(this.#path, name), { force: true })
    }
  }

  #damaged(what: string): SubnetError {
    const message = `${this.#path}: ${what}; begin anew with --fresh, or use another directory`
    return new SubnetError('DATA_DIR', message, { data: { reason: 'Damaged', path: this.#path } })
  }
}

function parseName(text: string): z.infer<typeof nameSchema> | undefined {
  try {
    return nameSchema.safeParse(JSON.parse(text)).data
  } catch {
    // No JSON: the caller says that it is torn.
    return undefined
  }
}

/** Complete or absent, also after a power cut. */
function writeWhole(file: string, bytes: Uint8Array): void {
  const temporary = `${file}.tmp`
  const handle = openSync(temporary, 'w', 0o600)
  try {
    writeFileSync(handle, bytes)
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
  renameSync(temporary, file)
}
