/**
 * Reads of the chain's state at one block, each with the runtime of that block: an upgrade changes what later blocks are
 * read with and nothing else. Storage that a runtime has not reads as `undefined`.
 */
import { compactStripLength, hexToU8a, u8aToHex } from '@polkadot/util'
import * as z from 'zod'
import type { AbortOptions } from '../../base/abort.js'
import { SubnetError } from '../../base/errors.js'
import type { NodeConnection } from './node-connection.js'
import { RpcRefusal } from './node-socket.js'
import { refusedBefore } from './refusals.js'
import { Runtime, type RuntimeVersion } from './runtime.js'

/** Runtimes kept: the newest, the one before it, and one for looking back. */
const RUNTIMES_MAX = 3
const KEYS_PER_CALL_MAX = 500
/** Newest first; @polkadot/types 16 reads these. From 15 on the runtime API is described. */
const METADATA_VERSIONS = [16, 15] as const
const METADATA_MAGIC = '0x6d657461'
const SPEC_NAME = 'node-subtensor'

const hexBytes = z.string().regex(/^0x([0-9a-f]{2})*$/i)
const versionSchema = z.object({
  specName: z.string(),
  specVersion: z.number().int(),
  transactionVersion: z.number().int(),
})
const changesSchema = z.array(z.object({ changes: z.array(z.tuple([hexBytes, hexBytes.nullable()])) }))

/** A storage item and the keys of one value; fewer keys mean all values below them, where that is asked for. */
export type StorageQuery = readonly [pallet: string, item: string, ...keys: unknown[]]

export interface StateReaderComponents {
  readonly connection: NodeConnection
  /** `Runtime.load`, or one that remembers: many chains in one process may share a runtime. */
  readonly loadRuntime?: typeof Runtime.load | undefined
}

export class StateReader {
  readonly #connection: NodeConnection
  readonly #loadRuntime: typeof Runtime.load
  /** By spec version, least recently used first. */
  readonly #runtimes = new Map<number, Promise<Runtime>>()

  constructor({ connection, loadRuntime = Runtime.load }: StateReaderComponents) {
    this.#connection = connection
    this.#loadRuntime = loadRuntime
  }

  /** The state after a block, at the head by default. Rejects with `UnknownBlock` for one that is not there. */
  async at(number: number | undefined, options: AbortOptions = {}): Promise<StateAt> {
    const block =
      number === undefined ? await this.#connection.head(options) : await this.blockAt(number, options)
    return this.atBlock(block, options)
  }

  /** Rejects with `UnknownBlock`. */
  async blockAt(number: number, options: AbortOptions = {}): Promise<BlockRef> {
    const head = await this.#connection.head(options)
    if (number === head.number) return head
    if (!Number.isSafeInteger(number) || number < 0 || number > head.number) throw unknownBlock(number)
    const answer = await this.#connection.call('chain_getBlockHash', [number], options)
    const hash = hexBytes.nullable().parse(answer)
    if (hash === null) throw unknownBlock(number)
    return { number, hash }
  }

  async atBlock(block: BlockRef, options: AbortOptions = {}): Promise<StateAt> {
    return new StateAt(this.#connection, block, await this.#runtimeAt(block, options))
  }

  async #runtimeAt(block: BlockRef, options: AbortOptions): Promise<Runtime> {
    const answer = await callState(this.#connection, 'state_getRuntimeVersion', [], block, options)
    const { specName, ...version } = versionSchema.parse(answer)
    if (specName !== SPEC_NAME) {
      throw refusedBefore('NotSubtensor', `${this.#connection.url} runs "${specName}", not a subtensor chain`)
    }
    let runtime = this.#runtimes.get(version.specVersion)
    this.#runtimes.delete(version.specVersion)
    // Without the caller's signal: others may wait for the same runtime. Its calls have deadlines of their own.
    runtime ??= this.#load(version, block).catch((error: unknown) => {
      this.#runtimes.delete(version.specVersion)
      throw error
    })
    this.#runtimes.set(version.specVersion, runtime)
    for (const oldest of this.#runtimes.keys()) {
      if (this.#runtimes.size <= RUNTIMES_MAX) break
      this.#runtimes.delete(oldest)
    }
    return runtime
  }

  async #load(version: RuntimeVersion, block: BlockRef): Promise<Runtime> {
    for (const metadataVersion of METADATA_VERSIONS) {
      const argument = u8aToHex(Uint8Array.of(metadataVersion, 0, 0, 0))
      const params = ['Metadata_metadata_at_version', argument]
      try {
        const answer = hexBytes.parse(await callState(this.#connection, 'state_call', params, block, {}))
        const bytes = optionalBytes(hexToU8a(answer))
        if (bytes !== undefined) return await this.#loadRuntime(bytes, version)
      } catch (error) {
        // A runtime without this function describes itself in the older way below.
        if (!(error instanceof RpcRefusal)) throw error
      }
    }
    const answer = await callState(this.#connection, 'state_getMetadata', [], block, {})
    return this.#loadRuntime(hexToU8a(hexBytes.parse(answer)), version)
  }
}

export interface BlockRef {
  readonly number: number
  readonly hash: string
}

export class StateAt {
  readonly block: BlockRef
  readonly runtime: Runtime
  readonly #connection: NodeConnection

  constructor(connection: NodeConnection, block: BlockRef, runtime: Runtime) {
    this.#connection = connection
    this.block = block
    this.runtime = runtime
  }

  /** One value as JSON, through a schema: the item's default or `null` when unset, `undefined` when there is no such item. */
  async value<T>(query: StorageQuery, schema: z.ZodType<T>, options: AbortOptions = {}): Promise<T> {
    const [value] = await this.values([query], options)
    return read(schema, value, `${query[0]}.${query[1]}`)
  }

  /** Several, in one question. As JSON, unchecked. */
  async values(queries: readonly StorageQuery[], options: AbortOptions = {}): Promise<unknown[]> {
    const items = queries.map(([pallet, item, ...keys]) => {
      const storage = this.runtime.storage(pallet, item)
      return storage === undefined ? undefined : { storage, key: storage.key(keys) }
    })
    const found = await this.#bytes(
      items.flatMap((item) => item?.key ?? []),
      options,
    )
    return items.map((item) => item?.storage.decode(found.get(item.key)))
  }

  /** The raw bytes of one value, `undefined` when it is unset. */
  async bytes(
    [pallet, item, ...keys]: StorageQuery,
    options: AbortOptions = {},
  ): Promise<Uint8Array | undefined> {
    const key = this.runtime.storage(pallet, item)?.key(keys)
    return key === undefined ? undefined : (await this.#bytes([key], options)).get(key)
  }

  /** All values below some keys, with their full keys. Empty when there is no such item. */
  async entries(
    [pallet, item, ...keys]: StorageQuery,
    options: AbortOptions = {},
  ): Promise<{ readonly keys: readonly unknown[]; readonly value: unknown }[]> {
    const storage = this.runtime.storage(pallet, item)
    if (storage === undefined) return []
    const found = await this.#bytes(await this.#keysBelow(storage.key(keys), options), options)
    return [...found].map(([key, bytes]) => ({
      keys: storage.decodeKey(key),
      value: storage.decode(bytes),
    }))
  }

  /** The runtime's own answer as JSON, or `undefined` when its metadata has no such function. */
  async api(
    name: string,
    method: string,
    args: readonly unknown[],
    options: AbortOptions = {},
  ): Promise<unknown> {
    const found = this.runtime.api(name, method)
    if (found === undefined) return undefined
    const params = [found.rpcName, u8aToHex(found.encode(args))]
    const answer = await callState(this.#connection, 'state_call', params, this.block, options)
    return found.decode(hexToU8a(read(hexBytes, answer, found.rpcName)))
  }

  async #keysBelow(prefix: string, options: AbortOptions): Promise<string[]> {
    const keys: string[] = []
    for (;;) {
      const params = [prefix, KEYS_PER_CALL_MAX, ...(keys.at(-1) === undefined ? [null] : [keys.at(-1)])]
      const answer = await callState(this.#connection, 'state_getKeysPaged', params, this.block, options)
      const page = read(z.array(hexBytes), answer, 'state_getKeysPaged')
      keys.push(...page)
      if (page.length < KEYS_PER_CALL_MAX) return keys
    }
  }

  async #bytes(keys: readonly string[], options: AbortOptions): Promise<Map<string, Uint8Array>> {
    const found = new Map<string, Uint8Array>()
    for (let start = 0; start < keys.length; start += KEYS_PER_CALL_MAX) {
      const params = [keys.slice(start, start + KEYS_PER_CALL_MAX)]
      const answer = await callState(this.#connection, 'state_queryStorageAt', params, this.block, options)
      for (const { changes } of read(changesSchema, answer, 'state_queryStorageAt'))
        for (const [key, value] of changes) if (value !== null) found.set(key, hexToU8a(value))
    }
    return found
  }
}

/** JSON of the chain through a schema: what does not fit is the runtime's change, not the caller's fault. */
export function read<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const text = `the chain’s ${what} has a form this version does not know: ${z.prettifyError(result.error)}; update it`
  throw new SubnetError('CHAIN_UNAVAILABLE', text, { retryable: false, cause: result.error })
}

export function unknownBlock(number: number): SubnetError {
  return refusedBefore(
    'UnknownBlock',
    `block ${number} lies ahead of the head, or its state is no longer kept by this node (older blocks need an archive node)`,
  )
}

/** One question about the state at a block; that block's absence is `UnknownBlock`. */
async function callState(
  connection: NodeConnection,
  method: string,
  params: readonly unknown[],
  block: BlockRef,
  options: AbortOptions,
): Promise<unknown> {
  try {
    return await connection.call(method, [...params, block.hash], options)
  } catch (error) {
    const gone =
      error instanceof RpcRefusal &&
      /unknown ?block|already discarded|header was not found/i.test(`${error.message} ${error.detail}`)
    throw gone ? unknownBlock(block.number) : error
  }
}

/** From `Option<OpaqueMetadata>`. */
function optionalBytes(bytes: Uint8Array): Uint8Array | undefined {
  if (bytes[0] !== 1) return undefined
  const [totalBytes, inner] = compactStripLength(bytes.subarray(1))
  const isWhole = totalBytes === bytes.length - 1
  return isWhole && u8aToHex(inner.subarray(0, 4)) === METADATA_MAGIC ? inner : undefined
}
