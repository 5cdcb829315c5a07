/** Keys and records for tests of the chain: the same number always gives the same one. Wait for `cryptoReady` first. */
import { peerIdFromMultihash } from '@libp2p/peer-id'
import { identity } from 'multiformats/hashes/identity'
import type { ChainRecord } from '../../src/chain/chain.js'
import { sha256 } from '../../src/crypto/hash.js'
import { type Signer, sr25519Signer, toSs58 } from '../../src/crypto/keys.js'

export interface TestKey {
  readonly signer: Signer
  readonly address: string
}

export function testHotkey(number: number): TestKey {
  return keyOf(`hotkey ${number}`)
}

export function testColdkey(number: number): TestKey {
  return keyOf(`coldkey ${number}`)
}

export function testRecord(number: number, address = `/ip4/127.0.0.1/tcp/${4001 + number}`): ChainRecord {
  // The protobuf around a raw ed25519 key: type 1, then 32 bytes.
  const publicKey = Uint8Array.from([8, 1, 18, 32, ...sha256(new TextEncoder().encode(`peer ${number}`))])
  return { peerId: peerIdFromMultihash(identity.digest(publicKey)).toString(), address }
}

function keyOf(text: string): TestKey {
  const signer = sr25519Signer(sha256(new TextEncoder().encode(text)))
  return { signer, address: toSs58(signer.publicKey) }
}
