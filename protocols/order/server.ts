/** The validator's side of `order`: from the stream to a checked question for the role, and its answer back. */
import { SubnetError } from '../../src/base/errors.js'
import { MIB } from '../../src/base/units.js'
import type { FrameStream } from '../common/frames.js'
import { decodeMessage } from '../common/schema.js'
import type { Envelope, WireDomain } from '../common/signed.js'
import { checkEnvelope } from '../common/signed.js'
import type { Authority } from '../hello/attestation.js'
import type { PeerComponents } from '../hello/exchange.js'
import { serve } from '../hello/exchange.js'
import type { Session } from '../hello/sessions.js'
import type { SignedLease } from '../lease/lease.js'
import { signedLeaseSchema } from '../lease/lease.js'
import type { CommitBody, Committed, LocateBody, Located, PlaceBody, Placed } from './messages.js'
import { commitBodySchema, locateBodySchema, ORDER, placeBodySchema, requestSchema } from './messages.js'

/** What a validator does with the questions. Every rejection is told to the client. */
export interface OrderHandler {
  /** Remembers a request's nonce; throws `REFUSED` when it was seen before. */
  remember(nonce: Uint8Array, expiresBlock: number): Promise<void>
  place(client: Uint8Array, body: PlaceBody): Promise<Omit<Placed, 'type'>>
  commit(client: Uint8Array, commit: CommitRequest): Promise<Omit<Committed, 'type'>>
  locate(client: Uint8Array, body: LocateBody): Promise<Omit<Located, 'type'>>
}

export interface CommitRequest {
  readonly body: CommitBody
  /** Encoded manifest nodes, root first. */
  readonly nodes: readonly Uint8Array[]
  readonly leases: readonly SignedLease[]
}

export interface OrderServerComponents extends PeerComponents {
  readonly authority: Authority
  readonly handler: OrderHandler
}

export interface OrderServerInit {
  readonly domain: WireDomain
  /** Our own hotkey: the receiver of every request. */
  readonly validator: Uint8Array
}

export function serveOrders(components: OrderServerComponents, init: OrderServerInit): void {
  const { handler, authority } = components
  const openRequest = async (method: string, request: Envelope, session: Session): Promise<Uint8Array> => {
    checkEnvelope(request, {
      domain: init.domain,
      method,
      scheme: 'ed25519',
      sender: session.key,
      receiver: init.validator,
      block: authority.block,
    })
    await handler.remember(request.nonce, request.expiresBlock)
    return request.body
  }
  serve(components, ORDER, ['client'], async (frames, session) => {
    const { type, request } = await frames.readMessage(requestSchema, 'order request')
    const body = await openRequest(`order.${type}`, request, session)
    if (type === 'place') {
      const placed = await handler.place(session.key, decodeMessage(placeBodySchema, body, 'place'))
      await frames.writeMessage({ type: 'placed', ...placed })
    } else if (type === 'locate') {
      const located = await handler.locate(session.key, decodeMessage(locateBodySchema, body, 'locate'))
      await frames.writeMessage({ type: 'located', ...located })
    } else {
      const commit = await readCommit(frames, decodeMessage(commitBodySchema, body, 'commit'))
      const committed = await handler.commit(session.key, commit)
      await frames.writeMessage({ type: 'committed', ...committed })
    }
  })
}

/** Largest manifest a commit may bring, all nodes together: an object of about 300 GiB. It is held in memory to be checked. */
const COMMIT_BYTES_MAX = 64 * MIB

async function readCommit(frames: FrameStream, body: CommitBody): Promise<CommitRequest> {
  const totalBytes = body.nodes.reduce((sum, sizeBytes) => sum + sizeBytes, 0)
  if (totalBytes > COMMIT_BYTES_MAX) throw new SubnetError('INVALID', 'commit: the manifest is too large')
  const nodes: Uint8Array[] = []
  for (const sizeBytes of body.nodes) {
    nodes.push(await frames.readBytes(sizeBytes))
  }
  const leases: SignedLease[] = []
  for (let index = 0; index < body.leases; index += 1) {
    leases.push(await frames.readMessage(signedLeaseSchema, 'lease'))
  }
  return { body, nodes, leases }
}
