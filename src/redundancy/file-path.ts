/**
 * From a file's root down to its leaves: whether a chunk is the leaf that IPFS would read at its place, decided before any
 * of its bytes are given out. It keeps one node a level, so memory does not grow with the file. Where nodes come from is
 * the caller's; the way up is `file-dag.ts`.
 */
import * as dagPb from '@ipld/dag-pb'
import { UnixFS } from 'ipfs-unixfs'
import * as raw from 'multiformats/codecs/raw'
import { equals } from 'uint8arrays/equals'
import type { AbortOptions } from '../base/abort.js'
import { invariant, SubnetError } from '../base/errors.js'
import { sha256 } from '../crypto/hash.js'
import { DAG_LINKS_MAX, DAG_NODE_BYTES_MAX, dagDepth, dagNodeNumber, leafCount } from './file-dag.js'
import { CHUNK_SIZE } from './profiles.js'

export interface FilePathInit {
  readonly sizeBytes: number
  readonly rootDigest: Uint8Array
}

/** A dag-pb node's bytes. `number` is its number as `dagNodeNumber` counts. */
export type LoadNode = (digest: Uint8Array, number: number, options: AbortOptions) => Promise<Uint8Array>

/** A dag-pb block on the way. */
export interface PathNode {
  readonly digest: Uint8Array
  readonly bytes: Uint8Array
}

interface Loaded {
  /** Within its level. */
  readonly index: number
  readonly links: readonly Uint8Array[]
}

export class FilePath {
  readonly #init: FilePathInit
  readonly #load: LoadNode
  readonly #leaves: number
  readonly #depth: number
  /** The node of each level last looked at; level 1 is above the leaves. */
  readonly #nodes: (Loaded | undefined)[] = []

  constructor(init: FilePathInit, load: LoadNode) {
    this.#init = init
    this.#load = load
    this.#leaves = leafCount(init.sizeBytes)
    this.#depth = dagDepth(this.#leaves)
  }

  /**
   * Resolves when the block `digest` is leaf `leaf` of the file, with the nodes that had to be loaded for it, root first.
   * Rejects with `MISMATCH` if it is not, or if a node is not that of a file of this size; else with what loading failed
   * with. One call at a time.
   */
  async check(leaf: number, digest: Uint8Array, options: AbortOptions = {}): Promise<PathNode[]> {
    invariant(Number.isInteger(leaf) && leaf >= 0 && leaf < this.#leaves, 'the file has this leaf')
    const loaded: PathNode[] = []
    let expected = this.#init.rootDigest
    for (let level = this.#depth; level > 0; level -= 1) {
      const index = Math.floor(leaf / DAG_LINKS_MAX ** level)
      let node = this.#nodes[level]
      if (node?.index !== index) {
        const number = dagNodeNumber(this.#leaves, level, index)
        const bytes = await this.#load(expected, number, options)
        node = { index, links: this.#links(bytes, expected, level, index) }
        this.#nodes[level] = node
        // What is below belonged to another node.
        this.#nodes.fill(undefined, 0, level)
        loaded.push({ digest: expected, bytes })
      }
      const child = Math.floor(leaf / DAG_LINKS_MAX ** (level - 1)) % DAG_LINKS_MAX
      expected = node.links[child] as Uint8Array
    }
    if (!equals(expected, digest)) throw mismatch(`chunk ${leaf} is not the leaf under the file's root`)
    return loaded
  }

  /** Digests that a node links to, after everything that follows from the file's size was found in it. */
  #links(bytes: Uint8Array, digest: Uint8Array, level: number, index: number): Uint8Array[] {
    const what = `dag-pb node ${index} of level ${level}`
    if (bytes.length > DAG_NODE_BYTES_MAX || !equals(sha256(bytes), digest)) {
      throw mismatch(`${what}: the bytes are not the node that is named`)
    }
    const { blockSizes, links } = readNode(bytes, what)
    const childBytes = CHUNK_SIZE * DAG_LINKS_MAX ** (level - 1)
    const startBytes = index * DAG_LINKS_MAX * childBytes
    const ownBytes = Math.min(DAG_LINKS_MAX * childBytes, this.#init.sizeBytes - startBytes)
    const children = Math.ceil(ownBytes / childBytes)
    const codec = level === 1 ? raw.code : dagPb.code
    const fits =
      links.length === children &&
      blockSizes.length === children &&
      blockSizes.every((size, i) => size === BigInt(Math.min(childBytes, ownBytes - i * childBytes))) &&
      links.every(({ Name, Hash }) => (Name ?? '') === '' && Hash.version === 1 && Hash.code === codec) &&
      links.every(({ Hash }) => Hash.multihash.code === SHA2_256_CODE && Hash.multihash.digest.length === 32)
    if (!fits)
      throw mismatch(`${what} is not of a file of ${this.#init.sizeBytes} bytes cut every ${CHUNK_SIZE}`)
    return links.map(({ Hash }) => Hash.multihash.digest)
  }
}

const SHA2_256_CODE = 0x12

function readNode(
  bytes: Uint8Array,
  what: string,
): { readonly blockSizes: readonly bigint[]; readonly links: readonly dagPb.PBLink[] } {
  try {
    const { Data, Links } = dagPb.decode(bytes)
    const file = UnixFS.unmarshal(Data ?? new Uint8Array(0))
    if (file.type !== 'file' || (file.data?.length ?? 0) > 0) throw new TypeError('no inner node of a file')
    return { blockSizes: file.blockSizes, links: Links }
  } catch (cause) {
    // Whatever the codecs say of it: whoever made the root named bytes that are no such node.
    throw new SubnetError('MISMATCH', `${what} is no inner node of a UnixFS file`, { cause })
  }
}

function mismatch(text: string): SubnetError {
  return new SubnetError('MISMATCH', text)
}
