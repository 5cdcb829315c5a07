/**
 * A public object as a CAR file (version 1), which any IPFS tool imports: its one root is the file's, and every block comes
 * after the one that links to it, so a reader verifies as it reads. Nothing is held but the segment at hand.
 */
import { CarWriter } from '@ipld/car'
import type { CID } from 'multiformats/cid'
import type { AbortOptions } from '../base/abort.js'
import { sha256 } from '../crypto/hash.js'
import { dagPbCid, EMPTY_FILE_DIGEST, leafCount, rawCid } from '../redundancy/file-dag.js'
import type { FilePath } from '../redundancy/file-path.js'
import { CHUNK_SIZE } from '../redundancy/profiles.js'

export interface Block {
  readonly cid: CID
  readonly bytes: Uint8Array
}

/** What is there of a CAR already: so many leaves, and these dag-pb nodes, as CIDs. The order of blocks is always the same. */
export interface CarStart {
  readonly leaves: number
  readonly nodes: ReadonlySet<string>
}

/**
 * The blocks of a file, in the order of a CAR, without those that are there. `data`: its bytes from the first missing leaf
 * on, in pieces of whole leaves, the last one shorter.
 */
export async function* fileBlocks(
  sizeBytes: number,
  data: AsyncIterable<Uint8Array>,
  path: FilePath,
  options: AbortOptions & { readonly start?: CarStart | undefined } = {},
): AsyncGenerator<Block> {
  const { leaves, nodes } = options.start ?? { leaves: 0, nodes: new Set() }
  if (leafCount(sizeBytes) === 0 && leaves === 0)
    yield { cid: rawCid(EMPTY_FILE_DIGEST), bytes: new Uint8Array(0) }
  let leaf = leaves
  for await (const piece of data) {
    for (let at = 0; at < piece.length; at += CHUNK_SIZE) {
      const bytes = piece.subarray(at, at + CHUNK_SIZE)
      const digest = sha256(bytes)
      for (const node of await path.check(leaf, digest, options)) {
        const cid = dagPbCid(node.digest)
        if (!nodes.has(cid.toString())) yield { cid, bytes: node.bytes }
      }
      yield { cid: rawCid(digest), bytes }
      leaf += 1
    }
  }
}

/** The CAR's bytes, or those that follow its first blocks. Ending it early ends `blocks`. */
export async function* carOf(
  root: CID,
  blocks: AsyncGenerator<Block>,
  { goesOn = false }: { readonly goesOn?: boolean } = {},
): AsyncGenerator<Uint8Array> {
  const { writer, out } = goesOn ? CarWriter.createAppender() : CarWriter.create([root])
  let failure: { readonly error: unknown } | undefined
  const write = async () => {
    try {
      for await (const block of blocks) await writer.put(block)
    } catch (error) {
      failure = { error }
    }
    await writer.close()
  }
  // It waits for its pieces to be taken, for ever if nobody does; what its source failed with is thrown below.
  void write()
  try {
    yield* out
    if (failure !== undefined) throw failure.error
  } finally {
    await blocks.return(undefined)
  }
}
