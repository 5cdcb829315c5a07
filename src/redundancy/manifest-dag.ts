/**
 * What a public object's manifest says of its IPFS file, held against the names of its data chunks: both together are
 * checked here, and the dag-pb nodes are built again from them. The manifest's own form is `manifest.ts`.
 */
import { equals } from 'uint8arrays/equals'
import type { ChunkReference } from './chunk.js'
import { refuse } from './fields.js'
import { type DagNode, FileDagBuilder } from './file-dag.js'
import type { Manifest } from './manifest.js'
import type { SegmentEntry } from './segment.js'

type FileManifest = Pick<Manifest, 'class' | 'code' | 'fileDigest'>

/**
 * Throws `INVALID` naming the field unless the blocks and the root that the manifest names are those of its data chunks.
 * `segments` are all of them. Says nothing of private objects.
 */
export function checkFileDag(manifest: FileManifest, segments: readonly SegmentEntry[]): void {
  const check = new FileDagCheck(manifest, segments.length)
  for (const segment of segments) check.add(segment)
  check.finish()
}

/** As `checkFileDag`, for segments that come one after the other. */
export class FileDagCheck {
  readonly #manifest: FileManifest
  readonly #count: number
  readonly #dag = new FileDagBuilder()
  #added = 0

  /** `count`: how many segments there are. */
  constructor(manifest: FileManifest, count: number) {
    this.#manifest = manifest
    this.#count = count
  }

  add(segment: SegmentEntry): void {
    if (this.#manifest.class === 'private') return
    const index = this.#added
    this.#added += 1
    const nodes = this.#dag.add(leavesOf(this.#manifest, segment), this.#added === this.#count)
    for (const [i, node] of nodes.entries()) {
      if (isNamed(node, segment.dagNodes?.[i])) continue
      refuse(`manifest.segments[${index}].dagNodes[${i}]`, 'is not the node above the data chunks')
    }
  }

  finish(): void {
    const { class: objectClass, fileDigest } = this.#manifest
    if (objectClass === 'private') return
    if (fileDigest === undefined || !equals(this.#dag.rootDigest, fileDigest)) {
      refuse('manifest.file', 'is not the root of the data chunks')
    }
  }
}

/** The blocks of the file that are no data chunks, by number. */
export function dagNodesOfFile(manifest: FileManifest, segments: readonly SegmentEntry[]): DagNode[] {
  const dag = new FileDagBuilder()
  return segments.flatMap((segment, index) =>
    dag.add(leavesOf(manifest, segment), index === segments.length - 1),
  )
}

function leavesOf({ code }: FileManifest, { chunks }: SegmentEntry): readonly ChunkReference[] {
  return chunks.slice(0, chunks.length - (code.n - code.k))
}

function isNamed(node: ChunkReference, named: ChunkReference | undefined): boolean {
  return (
    named !== undefined &&
    named.sizeBytes === node.sizeBytes &&
    equals(named.digest, node.digest) &&
    equals(named.auditRoot, node.auditRoot)
  )
}
