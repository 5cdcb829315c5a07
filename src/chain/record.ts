/**
 * The endpoint of a `ChainRecord` as bytes: the raw peer id (a multihash, which says its own length), then the raw
 * multiaddr. One commitment field of the real chain, one field of a devchain operation. Text checks happen here only.
 */
import { peerIdFromMultihash, peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import * as Digest from 'multiformats/hashes/digest'
import { concat, equals } from 'uint8arrays'
import { SubnetError } from '../base/errors.js'
import { type ChainRecord, RECORD_ENDPOINT_BYTES_MAX } from './chain.js'

/** Multihash codes a peer id uses: the key itself, or its SHA-256 (RSA keys). Each is one byte as a varint. */
const IDENTITY = 0x00
const SHA2_256 = 0x12
/** Code and length, one byte each, in front of the digest. */
const MULTIHASH_HEAD_BYTES = 2

/** Bytes of the endpoint; throws `INVALID` when a part is malformed or both together are too long. */
export function encodeEndpoint(record: ChainRecord): Uint8Array {
  const bytes = concat([peerIdBytes(record.peerId), addressBytes(record.address)])
  if (bytes.length > RECORD_ENDPOINT_BYTES_MAX) {
    throw new SubnetError(
      'INVALID',
      `peer id and address take ${bytes.length} bytes, a chain record has room for ${RECORD_ENDPOINT_BYTES_MAX}`,
    )
  }
  return bytes
}

/** The record behind the bytes, in canonical text; throws `INVALID` for anything `encodeEndpoint` does not make. */
export function decodeEndpoint(bytes: Uint8Array): ChainRecord {
  try {
    const peerEnd = MULTIHASH_HEAD_BYTES + (bytes[1] ?? 0)
    const peerId = peerIdFromMultihash(Digest.decode(bytes.slice(0, peerEnd))).toString()
    const record = { peerId, address: multiaddr(bytes.slice(peerEnd)).toString() }
    if (equals(encodeEndpoint(record), bytes)) return record
  } catch (cause) {
    throw new SubnetError('INVALID', 'these bytes are no peer id and address', { cause })
  }
  throw new SubnetError('INVALID', 'these bytes are no canonical peer id and address')
}

function peerIdBytes(text: string): Uint8Array {
  try {
    const peerId = peerIdFromString(text)
    const bytes = peerId.toMultihash().bytes
    const known = bytes[0] === IDENTITY || bytes[0] === SHA2_256
    if (known && peerId.type !== 'url' && peerId.toString() === text) return bytes
  } catch (cause) {
    throw new SubnetError('INVALID', 'the record names no peer id', { cause })
  }
  throw new SubnetError('INVALID', 'the record names a peer id in a form that is not used here')
}

function addressBytes(text: string): Uint8Array {
  let address: ReturnType<typeof multiaddr>
  try {
    address = multiaddr(text)
  } catch (cause) {
    throw new SubnetError('INVALID', 'the record names no multiaddr', { cause })
  }
  const names = address.getComponents().map((component) => component.name)
  if (names.length === 0 || names.includes('p2p')) {
    throw new SubnetError('INVALID', 'the address of a record is a multiaddr without /p2p/')
  }
  return address.bytes
}
