/** What a validator does with place, commit and locate: offers miners, counts what they hold, tells who holds what. */
import { toString as bytesToText } from 'uint8arrays'
import { encodeMessage } from '../../../protocols/common/schema.js'
import { sameKey, type WireDomain } from '../../../protocols/common/signed.js'
import { countersignLease, type KeptLease } from '../../../protocols/lease/lease.js'
import { type PackedLease, unpackLease } from '../../../protocols/lease/packed-lease.js'
import type {
  Committed,
  Holder,
  LocateBody,
  Located,
  PlaceBody,
  Placed,
} from '../../../protocols/order/messages.js'
import { signOrder } from '../../../protocols/order/order.js'
import type { CommitRequest, OrderHandler } from '../../../protocols/order/server.js'
import type { Ref } from '../../actor/behavior.js'
import type { Clock } from '../../base/clock.js'
import { isSubnetError, SubnetError } from '../../base/errors.js'
import type { Logger } from '../../base/log.js'
import type { Random } from '../../base/random.js'
import { describeRate, type Rate, RateLimit } from '../../base/rate-limit.js'
import type { SubnetView } from '../../chain/subnet-view.js'
import { sha256 } from '../../crypto/hash.js'
import { type Signer, toSs58 } from '../../crypto/keys.js'
import { manifestCid } from '../../redundancy/capability.js'
import { CHUNK_SIZE } from '../../redundancy/profiles.js'
import { checkCommit } from './commit-check.js'
import type { Ledger } from './ledger.js'
import type { ObjectRow } from './ledger-rows.js'
import type { LiveMiners, MinerWatchMessage } from './miner-watch.js'
import { operatorGroups } from './operator-groups.js'
import { type Offer, offerMiners } from './place.js'

/** Blocks an order may be used for: two hours on the real chain, half an hour on a devchain of 1 s blocks. */
const ORDER_LIFE_BLOCKS = 1_800
/** Placements for one client: each signs an order for every miner of the subnet. */
const PLACES: Rate = { perSecond: 10, burst: 100 }
/** Clients whose placements are counted. */
const PLACING_CLIENTS_MAX = 4_096
/** Bytes a get order permits beyond twice what the miner holds of the object. */
const GET_SLACK_BYTES = 8 * CHUNK_SIZE

/** After which one may ask again for whom too few miners have been heard: they are visited every second then. */
const UNSETTLED_PAUSE_MS = 2_000

/** A segment by its number, or the nodes that are kept in full copies. */
type LostPart = number | 'node'

export interface OrderServiceComponents {
  readonly clock: Clock
  readonly ledger: Ledger
  readonly watch: Ref<MinerWatchMessage>
  readonly view: SubnetView
  readonly signer: Signer
  readonly random: Random
  readonly logger: Logger
}

export class OrderService implements OrderHandler {
  readonly #components: OrderServiceComponents
  readonly #domain: WireDomain
  readonly #places: RateLimit

  constructor(components: OrderServiceComponents, domain: WireDomain) {
    this.#components = components
    this.#domain = domain
    this.#places = new RateLimit(components.clock, { ...PLACES, keysMax: PLACING_CLIENTS_MAX })
  }

  async remember(nonce: Uint8Array, expiresBlock: number): Promise<void> {
    const isNew = await this.#components.ledger.rememberNonce(nonce, expiresBlock)
    if (!isNew) throw new SubnetError('REFUSED', 'this request was seen before')
  }

  async place(client: Uint8Array, body: PlaceBody): Promise<Omit<Placed, 'type'>> {
    const { watch, view } = this.#components
    const retryAfterMs = this.#places.take(bytesToText(client, 'hex'))
    if (retryAfterMs > 0) {
      const text = `place: too many requests of this client; the limit is ${describeRate(PLACES)}`
      throw new SubnetError('BUSY', text, { data: { retryAfterMs } })
    }
    const { block } = view
    // Of all members, as at the commit: miners that do not answer now may still join two operators into one.
    const groups = operatorGroups(view.members())
    const { miners, warning } = offerSettled(await watch.ask('live', {}), groups, body)
    const leaseEndBlock = block + body.leaseBlocks
    const candidates = miners.map(({ member, group, weight, maxBytes }) => ({
      ...placeOf(member.publicKey, member.endpoint),
      group,
      weight,
      order: this.#order('put', client, member.publicKey, maxBytes, leaseEndBlock),
    }))
    return {
      seed: this.#seed(body.put),
      candidates,
      leaseEndBlock,
      ...(warning === undefined ? {} : { warning }),
    }
  }

  async commit(client: Uint8Array, commit: CommitRequest): Promise<Omit<Committed, 'type'>> {
    const { ledger, watch, view, signer, logger } = this.#components
    const checked = checkCommit(commit, {
      domain: this.#domain,
      validator: signer.publicKey,
      block: view.block,
      groups: operatorGroups(view.members()),
    })
    const { leases } = commit
    const countersignatures = leases.map((lease) => countersignLease(signer, this.#domain, lease))
    const { object, profile, maskRoot } = commit.body
    await this.#checkSender(client, commit, checked.manifest.signer)
    const row: ObjectRow = {
      profile,
      client,
      owner: checked.manifest.signer,
      ...(maskRoot === undefined ? {} : { maskRoot }),
      nodes: [...checked.nodes],
      nodeHolders: checked.nodeHolders,
      segments: checked.segments.length,
      miners: leases.map(({ miner }) => miner),
      minerBytes: leases.map(leasedBytes),
      committedBlock: view.block,
      endBlock: Math.min(...leases.map(({ endBlock }) => endBlock)),
    }
    const kept = countedLeases(leases, countersignatures)
    await ledger.record({ object, row, segments: checked.segments, leases: kept })
    for (const { miner } of leases) watch.send({ type: 'look', hotkey: toSs58(miner) })
    logger.info(
      { object: manifestCid(object), profile, segments: row.segments, miners: leases.length },
      'object counted',
    )
    const { weakestReceipts, fullReceipts } = checked
    return { countersignatures, weakestReceipts, fullReceipts }
  }

  async locate(client: Uint8Array, body: LocateBody): Promise<Omit<Located, 'type'>> {
    const { ledger, view } = this.#components
    const row = await ledger.object(body.object)
    if (row === undefined) throw new SubnetError('NOT_FOUND', 'this validator does not know the object')
    const segments = await ledger.segments(body.object, body.firstSegment, body.segments)
    // Miners that left the subnet, or name no address, cannot be asked; positions are renumbered without them.
    const positions = new Map<number, number>()
    const holders: Holder[] = []
    for (const [index, hotkey] of row.miners.entries()) {
      const member = view.member(hotkey)
      if (member?.endpoint === undefined) continue
      const maxBytes = 2 * (row.minerBytes[index] ?? 0) + GET_SLACK_BYTES
      positions.set(index, holders.length)
      holders.push({
        ...placeOf(hotkey, member.endpoint),
        order: this.#order('get', client, hotkey, maxBytes),
      })
    }
    const isLost = await this.#lostShares(row, body)
    const live = (part: LostPart, lists: readonly (readonly number[])[]) =>
      lists.map((list, chunk) =>
        list.flatMap((miner) => (isLost(part, chunk, miner) ? [] : (positions.get(miner) ?? []))),
      )
    return {
      holders,
      nodes: live('node', row.nodeHolders),
      segments: segments.map((chunks, offset) => live(body.firstSegment + offset, chunks)),
    }
  }

  /** What miners have lost of these segments and of the nodes, by their own word: nobody is to ask them for it. */
  async #lostShares(
    { miners, nodes }: ObjectRow,
    { object, firstSegment, segments }: LocateBody,
  ): Promise<(part: LostPart, chunk: number, miner: number) => boolean> {
    const lost = new Set<string>()
    const numberOf = new Map(nodes.map((digest, node) => [bytesToText(digest, 'hex'), node]))
    await Promise.all(
      miners.map(async (hotkey, miner) => {
        const { ledger } = this.#components
        for (const share of await ledger.lostIn(toSs58(hotkey), object, firstSegment, segments)) {
          const { segment, index, digest } = share
          if (segment >= 0) lost.add(`${segment} ${index} ${miner}`)
          else lost.add(`node ${numberOf.get(bytesToText(digest, 'hex'))} ${miner}`)
        }
      }),
    )
    return (part, chunk, miner) => lost.has(`${part} ${chunk} ${miner}`)
  }

  /** The same for a put that comes back, hours later and under another client key: docs/decisions. */
  #seed(put: Uint8Array): Uint8Array {
    const { genesis, netuid } = this.#domain
    return sha256(encodeMessage(['subnet-place/1', genesis, netuid, this.#components.signer.publicKey, put]))
  }

  /** Whoever has the object's own key may replace its row; any other client only the row that it has made. */
  async #checkSender(
    client: Uint8Array,
    { sender, body: { object } }: CommitRequest,
    owner: Uint8Array,
  ): Promise<void> {
    if (sameKey(sender, owner)) return
    if (!sameKey(sender, client))
      throw new SubnetError('REFUSED', "commit: signed by neither the client's nor the object's key")
    const known = await this.#components.ledger.object(object)
    if (known !== undefined && !sameKey(known.client, client)) {
      throw new SubnetError('REFUSED', 'the object was committed by another client')
    }
  }

  #order(
    verb: 'put' | 'get',
    client: Uint8Array,
    miner: Uint8Array,
    maxBytes: number,
    leaseEndBlock?: number,
  ) {
    const { signer, random, view } = this.#components
    const expiresBlock = view.block + ORDER_LIFE_BLOCKS
    return signOrder(signer, this.#domain, {
      verb,
      client,
      miner,
      maxBytes,
      serial: random.bytes(16),
      expiresBlock,
      leaseEndBlock: leaseEndBlock ?? expiresBlock,
    })
  }
}

/** Of equal chunks, each counts. */
function leasedBytes({ entries }: PackedLease): number {
  let bytes = 0
  for (const [, , sizeBytes] of entries) bytes += sizeBytes
  return bytes
}

/** As the ledger keeps them, one when it comes to it. */
function* countedLeases(
  leases: readonly PackedLease[],
  countersignatures: readonly Uint8Array[],
): Generator<KeptLease> {
  for (const [index, lease] of leases.entries())
    yield { ...unpackLease(lease), validatorSignature: countersignatures[index] }
}

function placeOf(
  hotkey: Uint8Array,
  endpoint: { readonly peerId: string; readonly addresses: readonly string[] },
) {
  const [address = ''] = endpoint.addresses
  return { hotkey, peerId: endpoint.peerId, address }
}

/** As `offerMiners`; too few miners, or too little room, is final only when every miner had the time to be heard. */
function offerSettled(
  { miners, unsettled }: LiveMiners,
  groups: ReadonlyMap<string, string>,
  body: PlaceBody,
): Offer {
  try {
    return offerMiners(miners, groups, body)
  } catch (error) {
    const isShort = isSubnetError(error, 'TOO_FEW_PEERS') || isSubnetError(error, 'NO_SPACE')
    if (!isShort || unsettled === 0) throw error
    const text = `${error.message}; ${unsettled} more are being asked for the first time`
    throw new SubnetError('BUSY', text, { cause: error, data: { retryAfterMs: UNSETTLED_PAUSE_MS } })
  }
}
