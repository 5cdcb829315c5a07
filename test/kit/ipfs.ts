/** What IPFS's own programs make of bytes: the importer says which CID, the exporter reads a file back from blocks. */
import { exporter } from 'ipfs-unixfs-exporter'
import { importer } from 'ipfs-unixfs-importer'
import { fixedSize } from 'ipfs-unixfs-importer/chunker'
import { balanced } from 'ipfs-unixfs-importer/layout'
import type { CID } from 'multiformats/cid'
import { concat } from 'uint8arrays'
import { MIB } from '../../src/base/units.js'

/** `ipfs add --cid-version=1 --raw-leaves --chunker=size-1048576`, by the defaults of the Go program. */
const ADD = {
  cidVersion: 1,
  rawLeaves: true,
  reduceSingleLeafToSelf: true,
  wrapWithDirectory: false,
  chunker: fixedSize({ chunkSize: MIB }),
  layout: balanced({ maxChildrenPerNode: 174 }),
} as const

/** Blocks by CID, as text. */
export type Blocks = Map<string, Uint8Array>

/** The CID of the file; its blocks go to `blocks`, where given. */
export async function ipfsAdd(content: AsyncIterable<Uint8Array>, blocks?: Blocks): Promise<string> {
  const store = {
    async put(cid: CID, bytes: Uint8Array | AsyncIterable<Uint8Array> | Iterable<Uint8Array>) {
      if (blocks !== undefined && bytes instanceof Uint8Array) blocks.set(cid.toString(), bytes)
      return cid
    },
  }
  for await (const { cid } of importer([{ content }], store as never, ADD)) return cid.toString()
  throw new Error('the importer gives one entry for one file')
}

/** The file under this CID, from these blocks alone. */
export async function ipfsCat(cid: CID, blocks: ReadonlyMap<string, Uint8Array>): Promise<Uint8Array> {
  const store = {
    async *get(wanted: CID) {
      const bytes = blocks.get(wanted.toString())
      if (bytes === undefined) throw new Error(`there is no block ${wanted.toString()}`)
      yield bytes
    },
  }
  const entry = await exporter(cid, store as never)
  if (entry.type !== 'file' && entry.type !== 'raw' && entry.type !== 'identity')
    throw new Error(`${cid.toString()} is a ${entry.type}`)
  const pieces: Uint8Array[] = []
  for await (const piece of entry.content()) pieces.push(piece)
  return concat(pieces)
}

/** The root that the importer's own layout puts above these leaves, whose bytes nobody needs. */
export async function ipfsLayout(
  leaves: readonly (readonly [cid: CID, sizeBytes: number])[],
): Promise<string> {
  const store = { put: async (cid: CID) => cid }
  async function* content() {
    yield new Uint8Array(1)
  }
  async function* bufferImporter() {
    for (const [cid, sizeBytes] of leaves) {
      yield async () => ({ cid, size: BigInt(sizeBytes), block: new Uint8Array(0) })
    }
  }
  const options = { ...ADD, bufferImporter } as never
  for await (const { cid } of importer([{ content: content() }], store as never, options))
    return cid.toString()
  throw new Error('the importer gives one entry for one file')
}
