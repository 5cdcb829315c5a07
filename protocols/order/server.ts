/** The validator's side of `order`: from the stream to a checked question for the role, and its answer back. */
import type { AbortOptions } from '../../src/base/abort.js'
import { deadline } from '../../src/base/abort.js'
import { SubnetError } from '../../src/base/errors.js'
import { Semaphore } from '../../src/base/semaphore.js'
import { DAG_LINKS_MAX } from '../../src/redundancy/file-dag.js'
import { MANIFEST_NODES_MAX } from '../../src/redundancy/manifest.js'
import type { FrameStream } from '../common/frames.js'
import { decodeMessage } from '../common/schema.js'
import type { Envelope, WireDomain } from '../common/signed.js'
import { checkEnvelope } from '../common/signed.js'
import type { Authority } from '../hello/attestation.js'
import type { PeerComponents } from '../hello/exchange.js'
import { serve } from '../hello/exchange.js'
import { signedLeaseSchema } from '../lease/lease.js'
import { type PackedLease, packLease } from '../lease/packed-lease.js'
import type {
  CommitBody,
  Committed,
  LocateBody,
  Located,
  PlaceBody,
  Placed,
  ReleaseBody,
  Released,
  RenewBody,
  Renewed,
} from './messages.js'
import {
  COMMIT_BYTES_MAX,
  commitBodySchema,
  locateBodySchema,
  ORDER,
  ORDER_REQUEST_BYTES_MAX,
  placeBodySchema,
  releaseBodySchema,
  renewBodySchema,
  requestSchema,
} from './messages.js'

/** What a validator does with the questions. Every rejection is told to the client. */
export interface OrderHandler {
  /** Remembers a request's nonce; throws `REFUSED` when it was seen before. */
  remember(nonce: Uint8Array, expiresBlock: number): Promise<void>
  place(client: Uint8Array, body: PlaceBody): Promise<Omit<Placed, 'type'>>
  commit(client: Uint8Array, commit: CommitRequest): Promise<Omit<Committed, 'type'>>
  locate(client: Uint8Array, body: LocateBody): Promise<Omit<Located, 'type'>>
}

/** What a validator does for the owner of an object. */
export interface OwnerHandler {
  /** Key that signed the object's manifest; `NOT_FOUND` when the validator does not know the object. */
  ownerOf(object: Uint8Array): Promise<Uint8Array>
  renew(body: RenewBody): Promise<Omit<Renewed, 'type'>>
  release(body: ReleaseBody): Promise<Omit<Released, 'type'>>
}

export interface CommitRequest {
  /** Who signed the request: the session's key, or what claims to be the object's own. */
  readonly sender: Uint8Array
  readonly body: CommitBody
  /** Encoded manifest nodes, root first. */
  readonly nodes: readonly Uint8Array[]
  readonly leases: readonly PackedLease[]
}

export interface OrderServerComponents extends PeerComponents {
  readonly authority: Authority
  readonly handler: OrderHandler
  readonly owners: OwnerHandler
}

export interface OrderServerInit {
  readonly domain: WireDomain
  /** Our own hotkey: the receiver of every request. */
  readonly validator: Uint8Array
}

export function serveOrders(components: OrderServerComponents, init: OrderServerInit): void {
  const { handler, owners, authority, clock } = components
  const memory = new Semaphore({ permitsMax: COMMITS_MEMORY_BYTES_MAX, waitersMax: COMMITS_WAITING_MAX })
  const openRequest = async (method: string, request: Envelope, sender: Uint8Array): Promise<Uint8Array> => {
    checkEnvelope(request, {
      domain: init.domain,
      method,
      scheme: 'ed25519',
      sender,
      receiver: init.validator,
      block: authority.block,
    })
    await handler.remember(request.nonce, request.expiresBlock)
    return request.body
  }
  serve(components, ORDER, ['client'], async (frames, session) => {
    const { type, request } = await frames.readMessage(requestSchema, 'order request', {
      headerBytesMax: ORDER_REQUEST_BYTES_MAX,
    })
    if (!authority.isValidator(init.validator)) {
      // Its heads may be behind the client's by a block; after that nobody asks it any more.
      const text = 'this validator has no permit now: ask another one'
      throw new SubnetError('BUSY', text, { data: { retryAfterMs: PERMIT_PAUSE_MS } })
    }
    if (type === 'renew') {
      const renewal = decodeMessage(renewBodySchema, request.body, 'renew')
      await openRequest('order.renew', request, await owners.ownerOf(renewal.object))
      await frames.writeMessage({ type: 'renewed', ...(await owners.renew(renewal)) })
      return
    }
    if (type === 'release') {
      const release = decodeMessage(releaseBodySchema, request.body, 'release')
      await openRequest('order.release', request, await owners.ownerOf(release.object))
      await frames.writeMessage({ type: 'released', ...(await owners.release(release)) })
      return
    }
    const sender = type === 'commit' ? request.sender : session.key
    const body = await openRequest(`order.${type}`, request, sender)
    if (type === 'place') {
      const placed = await handler.place(session.key, decodeMessage(placeBodySchema, body, 'place'))
      await frames.writeMessage({ type: 'placed', ...placed })
    } else if (type === 'locate') {
      const located = await handler.locate(session.key, decodeMessage(locateBodySchema, body, 'locate'))
      await frames.writeMessage({ type: 'located', ...located })
    } else {
      const announced = decodeMessage(commitBodySchema, body, 'commit')
      using scope = deadline(clock, COMMIT_TIMEOUT_MS, 'a commit')
      const release = await memory.acquire(commitMemoryBytes(announced), scope)
      try {
        const commit = { sender, ...(await readCommit(frames, announced, scope)) }
        const committed = await handler.commit(session.key, commit)
        await frames.writeMessage({ type: 'committed', ...committed })
      } finally {
        release()
      }
    }
  })
}

/** After which one without a permit may be asked again. */
const PERMIT_PAUSE_MS = 1_000
/** From a commit's request to its last byte: the largest at 4 Mbit/s. */
export const COMMIT_TIMEOUT_MS = 300_000
/** Fewest bytes a manifest has for a chunk: its digest and its audit root. */
const CHUNK_ENTRY_BYTES_MIN = 64
/** Copies of one manifest node; the largest profile has 25. */
const NODE_COPIES_MAX = 32
/** Levels of nodes above the leaves of the largest object. */
const DAG_LEVELS_MAX = 4
/**
 * A lease entry while its lease is decoded or written to the ledger, in memory; measured: 810, resident. Between the two
 * it is packed and takes a tenth.
 */
const LEASE_ENTRY_MEMORY_BYTES = 850
/** All commits in progress together: as much as the largest one takes. */
const COMMITS_MEMORY_BYTES_MAX =
  COMMIT_BYTES_MAX + leaseEntriesMax(COMMIT_BYTES_MAX, 1 + MANIFEST_NODES_MAX) * LEASE_ENTRY_MEMORY_BYTES
/** Commits that may wait for that memory; the next is refused with `BUSY`. */
const COMMITS_WAITING_MAX = 1_024

/**
 * Lease entries that a manifest of this size can account for: one for each chunk, and the copies of its nodes and of those
 * of an IPFS file, of which there are fewer than one for 173 leaves and one more for each level.
 */
function leaseEntriesMax(manifestBytes: number, nodes: number): number {
  const chunks = Math.ceil(manifestBytes / CHUNK_ENTRY_BYTES_MIN)
  const dagNodes = Math.ceil(chunks / (DAG_LINKS_MAX - 1)) + DAG_LEVELS_MAX
  return chunks + (nodes + dagNodes) * NODE_COPIES_MAX
}

/** What a commit may take in memory, from what it announces. Throws `INVALID` if that is more than any may. */
function commitMemoryBytes({ nodes }: CommitBody): number {
  const totalBytes = nodes.reduce((sum, sizeBytes) => sum + sizeBytes, 0)
  if (totalBytes > COMMIT_BYTES_MAX) throw new SubnetError('INVALID', 'commit: the manifest is too large')
  return totalBytes + leaseEntriesMax(totalBytes, nodes.length) * LEASE_ENTRY_MEMORY_BYTES
}

async function readCommit(
  frames: FrameStream,
  body: CommitBody,
  options: AbortOptions,
): Promise<Omit<CommitRequest, 'sender'>> {
  const nodes: Uint8Array[] = []
  for (const sizeBytes of body.nodes) nodes.push(await frames.readBytes(sizeBytes, options))
  const manifestBytes = nodes.reduce((sum, { length }) => sum + length, 0)
  let entriesLeft = leaseEntriesMax(manifestBytes, nodes.length)
  const leases: PackedLease[] = []
  for (let index = 0; index < body.leases; index += 1) {
    const lease = await frames.readMessage(signedLeaseSchema, 'lease', options)
    entriesLeft -= lease.lease.entries.length
    if (entriesLeft < 0)
      throw new SubnetError('INVALID', 'commit: the leases name more than the manifest can')
    leases.push(packLease(lease))
  }
  return { body, nodes, leases }
}
