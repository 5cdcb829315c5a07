import assert from 'node:assert/strict'
import { base36 } from 'multiformats/bases/base36'
import { base58btc } from 'multiformats/bases/base58'
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'
import { InvariantError, SubnetError } from '../../../src/base/errors.js'
import { formatCapability, manifestCid, parseCapability } from '../../../src/redundancy/capability.js'
import { pattern } from '../../kit/redundancy-reference.js'

const address = pattern(32, 1)
const secret = pattern(32, 2)
const cid = manifestCid(address)
const key = Buffer.from(secret).toString('base64url')

function refusal(text: string): string {
  try {
    parseCapability(text)
  } catch (error) {
    if (error instanceof SubnetError && error.code === 'INVALID') {
      assert.equal(error.cause, undefined, 'a cause may repeat the key')
      return error.message
    }
    throw error
  }
  return 'accepted'
}

describe('capability', () => {
  it('says by its form whether it verifies, repairs, reads or owns', () => {
    assert.deepEqual(parseCapability(`subnet:${cid}`), { kind: 'verify', address })
    assert.deepEqual(parseCapability(`subnet:${cid}#mask=${key}`), {
      kind: 'repair',
      address,
      maskRoot: secret,
    })
    assert.deepEqual(parseCapability(`subnet:${cid}#${key}`), { kind: 'read', address, objectKey: secret })
    assert.deepEqual(parseCapability(`subnet:${cid}#own=${key}`), { kind: 'own', address, ownerKey: secret })
  })

  it('shows the address as the CID that IPFS tools know', () => {
    const parsed = CID.parse(cid)
    assert.deepEqual([parsed.version, parsed.code, parsed.multihash.code], [1, 0x71, 0x12])
    assert.deepEqual(parsed.multihash.digest, address)
  })

  it('is refused with what is wrong, and without the key', () => {
    const digest = Digest.create(0x12, address)
    const zeroBits = key.slice(0, -1) + String.fromCharCode(key.charCodeAt(42) + 1)
    const cases: [string, RegExp][] = [
      ['', /must start with/],
      [cid, /must start with/],
      [key, /must start with/],
      [`SUBNET:${cid}`, /must start with/],
      [`subnet:${key}`, /CID of a manifest/],
      [`subnet:#${key}`, /CID of a manifest/],
      [`subnet:${cid.toUpperCase()}`, /CID of a manifest/],
      [`subnet:${cid.slice(0, -1)}!`, /CID of a manifest/],
      [`subnet:${cid.slice(0, -1)}b`, /CID of a manifest/],
      [`subnet:${cid} `, /CID of a manifest/],
      [`subnet:${CID.parse(cid).toString(base36)}`, /CID of a manifest/],
      [`subnet:${CID.parse(cid).toString(base58btc)}`, /CID of a manifest/],
      [`subnet:${CID.createV1(0x55, digest)}`, /CID of a manifest/],
      [`subnet:${CID.createV0(digest)}`, /CID of a manifest/],
      [`subnet:${CID.createV1(0x71, Digest.create(0x13, address))}`, /CID of a manifest/],
      [`subnet:${cid}#`, /43 characters, not 0/],
      [`subnet:${cid}#${key}=`, /43 characters, not 44/],
      [`subnet:${cid}#${key.slice(1)}`, /43 characters, not 42/],
      [`subnet:${cid}#mask=`, /mask root.*43 characters/],
      [`subnet:${cid}#own=${key.slice(1)}`, /owner key.*43 characters/],
      [`subnet:${cid}#own=${key.slice(0, -1)}+`, /owner key.*base64url/],
      [`subnet:${cid}#key=${key}`, /43 characters/],
      [`subnet:${cid}#${key.slice(0, -1)}+`, /base64url/],
      [`subnet:${cid}#${key.slice(0, -1)}é`, /base64url/],
      [`subnet:${cid}#${zeroBits}`, /32 bytes in base64url/],
      [`subnet:${cid}#${'A'.repeat(42)}=`, /32 bytes in base64url/],
    ]
    for (const [text, expected] of cases) {
      const message = refusal(text)
      assert.match(message, expected, text)
      assert.ok(!message.includes(key.slice(0, 8)), `repeats the key: ${message}`)
    }
  })

  it('is not formatted from secrets or addresses of another length', () => {
    const short = pattern(31, 1)
    assert.throws(() => formatCapability({ kind: 'verify', address: short }), InvariantError)
    assert.throws(() => formatCapability({ kind: 'read', address, objectKey: short }), InvariantError)
    assert.throws(() => formatCapability({ kind: 'repair', address, maskRoot: short }), InvariantError)
    assert.throws(() => formatCapability({ kind: 'own', address, ownerKey: short }), InvariantError)
  })
})
