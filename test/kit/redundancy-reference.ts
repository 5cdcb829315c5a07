/**
 * A second, slow implementation of src/redundancy, written from the specification and sharing no code with it: bitwise
 * field arithmetic, ChaCha20 and canonical CBOR by hand, node:crypto for hashes, AES and ed25519. Vectors must satisfy both.
 */
import {
  createCipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  hkdfSync,
  sign,
} from 'node:crypto'

const MIB = 1024 * 1024

export function sha(...parts: Uint8Array[]): Buffer {
  return createHash('sha256').update(Buffer.concat(parts)).digest()
}

function hkdf(key: Uint8Array, salt: Uint8Array, info: Uint8Array): Buffer {
  return Buffer.from(hkdfSync('sha256', key, salt, info, 32))
}

function number(value: number, bytes: number): Buffer {
  const out = Buffer.alloc(bytes)
  let rest = BigInt(value)
  for (let i = bytes - 1; i >= 0; i--) {
    out[i] = Number(rest & 255n)
    rest >>= 8n
  }
  return out
}

/** Bytes of the vectors' inputs. */
export function pattern(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 167 + (i >>> 8) * 13 + (i >>> 16) * 7 + seed) & 255)
}

/** RFC 6962 section 2.1, over whole leaves. */
export function treeRoot(leaves: Uint8Array[]): Buffer {
  if (leaves.length === 1) return sha(Buffer.of(0), leaves[0] as Uint8Array)
  let split = 1
  while (split * 2 < leaves.length) split *= 2
  return sha(Buffer.of(1), treeRoot(leaves.slice(0, split)), treeRoot(leaves.slice(split)))
}

export function auditRoot(body: Uint8Array): Buffer {
  const leaves: Uint8Array[] = []
  for (let offset = 0; offset < body.length; offset += 4096) leaves.push(body.subarray(offset, offset + 4096))
  return treeRoot(leaves)
}

/** Product modulo x⁸ + x⁴ + x³ + x² + 1, bit by bit. */
export function gfMultiply(a: number, b: number): number {
  let product = 0
  for (let bit = 7; bit >= 0; bit--) {
    product <<= 1
    if (product & 0x100) product ^= 0x11d
    if ((b >> bit) & 1) product ^= a
  }
  return product
}

export function gfDivide(a: number, b: number): number {
  for (let quotient = 0; quotient < 256; quotient++) if (gfMultiply(quotient, b) === a) return quotient
  throw new Error('division by zero')
}

export function parity(data: Uint8Array[], k: number, n: number): Uint8Array[] {
  const length = Math.max(...data.map((chunk) => chunk.length))
  const rows: Uint8Array[] = []
  for (let i = k; i < n; i++) {
    const row = new Uint8Array(length)
    for (let j = 0; j < k; j++) {
      const coefficient = gfDivide(i, i ^ j)
      const chunk = data[j] as Uint8Array
      for (let p = 0; p < chunk.length; p++) {
        row[p] = (row[p] as number) ^ gfMultiply(coefficient, chunk[p] as number)
      }
    }
    rows.push(row)
  }
  return rows
}

export function seal(objectKey: Uint8Array, index: number, isLast: boolean, plaintext: Uint8Array) {
  const last = Buffer.of(isLast ? 1 : 0)
  const message = Buffer.concat([number(index, 8), last, plaintext])
  const salt = createHmac('sha256', objectKey).update(message).digest().subarray(0, 16)
  const key = hkdf(objectKey, salt, Buffer.concat([Buffer.from('seal/1'), number(index, 8)]))
  const frames: Buffer[] = []
  for (let offset = 0; offset < plaintext.length || frames.length === 0; offset += 65_520) {
    const frame = frames.length / 2
    const isEnd = isLast && offset + 65_520 >= plaintext.length
    const cipher = createCipheriv('aes-256-gcm', key, number(frame, 12))
    cipher.setAAD(Buffer.concat([number(index, 8), number(frame, 4), Buffer.of(isEnd ? 1 : 0)]))
    frames.push(Buffer.concat([cipher.update(plaintext.subarray(offset, offset + 65_520)), cipher.final()]))
    frames.push(cipher.getAuthTag())
  }
  return { salt, ciphertext: Buffer.concat(frames) }
}

export function maskRoot(objectKey: Uint8Array): Buffer {
  return hkdf(objectKey, Buffer.alloc(0), Buffer.from('mask/1'))
}

export function mask(root: Uint8Array, salt: Uint8Array, segment: number, chunk: number, bytes: Uint8Array) {
  const key = hkdf(root, Buffer.alloc(0), Buffer.concat([salt, number(segment, 8), number(chunk, 4)]))
  const out = Buffer.from(bytes)
  for (let block = 0; block * 64 < out.length; block++) {
    const stream = chachaBlock(key, block)
    for (let i = 0; i < 64 && block * 64 + i < out.length; i++) {
      out[block * 64 + i] = (out[block * 64 + i] as number) ^ (stream[i] as number)
    }
  }
  return out
}

/** RFC 8439 section 2.3, with the nonce 0. */
function chachaBlock(key: Uint8Array, counter: number): Uint8Array {
  const view = new DataView(key.buffer, key.byteOffset, 32)
  const start = new Uint32Array(16)
  start.set([0x61707865, 0x3320646e, 0x79622d32, 0x6b206574])
  for (let i = 0; i < 8; i++) start[4 + i] = view.getUint32(i * 4, true)
  start[12] = counter
  const x = start.slice()
  const at = (i: number): number => x[i] as number
  const step = (a: number, b: number, d: number, rotation: number): void => {
    x[a] = at(a) + at(b)
    const mixed = at(d) ^ at(a)
    x[d] = (mixed << rotation) | (mixed >>> (32 - rotation))
  }
  const quarter = (a: number, b: number, c: number, d: number): void => {
    step(a, b, d, 16)
    step(c, d, b, 12)
    step(a, b, d, 8)
    step(c, d, b, 7)
  }
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < 4; i++) quarter(i, 4 + i, 8 + i, 12 + i)
    for (let i = 0; i < 4; i++) quarter(i, 4 + ((i + 1) % 4), 8 + ((i + 2) % 4), 12 + ((i + 3) % 4))
  }
  const out = new DataView(new ArrayBuffer(64))
  for (let i = 0; i < 16; i++) out.setUint32(i * 4, (at(i) + (start[i] as number)) >>> 0, true)
  return new Uint8Array(out.buffer)
}

export interface ReferenceSegment {
  salt?: Uint8Array
  /** digest, auditRoot, size, stored bytes */
  chunks: [Uint8Array, Uint8Array, number, Uint8Array][]
}

export function segment(
  objectKey: Uint8Array | undefined,
  code: { k: number; n: number },
  index: number,
  isLast: boolean,
  plaintext: Uint8Array,
): ReferenceSegment {
  const sealed = objectKey && seal(objectKey, index, isLast, plaintext)
  const coded = sealed?.ciphertext ?? plaintext
  const data: Uint8Array[] = []
  for (let offset = 0; offset < coded.length; offset += MIB) data.push(coded.subarray(offset, offset + MIB))
  const n = data.length + code.n - code.k
  const stored = [...data, ...parity(data, data.length, n)].map((bytes, i) =>
    objectKey && sealed ? mask(maskRoot(objectKey), sealed.salt, index, i, bytes) : bytes,
  )
  const chunks = stored.map((bytes): ReferenceSegment['chunks'][number] => [
    sha(bytes),
    auditRoot(bytes),
    bytes.length,
    bytes,
  ])
  return sealed ? { salt: sealed.salt, chunks } : { chunks }
}

/** DER in front of the seed (RFC 8410). */
function ed25519Key(seed: Uint8Array) {
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed])
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  const publicKey = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32)
  return { publicKey, sign: (message: Uint8Array) => sign(null, message, key) }
}

/** The root of a manifest; `owner` is the object key if private, else the publisher's seed. */
export function manifestRoot(
  objectClass: string,
  owner: Uint8Array,
  profile: { name: string; k: number; n: number },
  createdUnixSeconds: number,
  sizeBytes: number,
  content: Record<string, unknown>,
): Buffer {
  const isPrivate = objectClass === 'private'
  const key = ed25519Key(isPrivate ? hkdf(owner, Buffer.alloc(0), Buffer.from('sign/1')) : owner)
  const root = {
    version: 1,
    class: objectClass,
    sizeBytes,
    code: { profile: profile.name, k: profile.k, n: profile.n },
    hash: 'sha2-256',
    leafBytes: 4096,
    createdUnixSeconds,
    signer: key.publicKey,
    ...(isPrivate ? { cipher: 'aes-256-gcm/65536', maskCommitment: sha(maskRoot(owner)) } : {}),
    ...content,
  }
  return cbor({ ...root, signature: key.sign(cbor(['manifest/1', root])) })
}

/** A CIDv1 with sha2-256, as bytes: `codec` 0x55 is raw, 0x70 dag-pb. */
export function cid(codec: number, digest: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of(1, codec, 0x12, 0x20), digest])
}

/** A CID as dag-cbor has it. */
export class Link {
  readonly cid: Buffer

  constructor(cid: Buffer) {
    this.cid = cid
  }
}

/** The UnixFS file over 1 to 174 raw leaves: the one block above them, written by hand (dag-pb spec, unixfs.proto). */
export function fileNode(leaves: { digest: Uint8Array; sizeBytes: number }[]): Buffer {
  const links = leaves.map(({ digest, sizeBytes }) =>
    field(2, Buffer.concat([field(1, cid(0x55, digest)), field(2, Buffer.alloc(0)), integer(3, sizeBytes)])),
  )
  const sizes = leaves.map(({ sizeBytes }) => integer(4, sizeBytes))
  const total = leaves.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  return Buffer.concat([...links, field(1, Buffer.concat([integer(1, 2), integer(3, total), ...sizes]))])
}

/** Protobuf: a field of bytes. */
function field(number: number, bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of((number << 3) | 2), varint(bytes.length), bytes])
}

/** Protobuf: a field with an integer. */
function integer(number: number, value: number): Buffer {
  return Buffer.concat([Buffer.of(number << 3), varint(value)])
}

function varint(value: number): Buffer {
  return value < 128
    ? Buffer.of(value)
    : Buffer.concat([Buffer.of((value & 127) | 128), varint(Math.floor(value / 128))])
}

/** Canonical dag-cbor of integers from 0, text, bytes, CIDs, lists and maps. */
export function cbor(value: unknown): Buffer {
  if (value instanceof Link)
    return Buffer.concat([head(6, 42), cbor(Buffer.concat([Buffer.of(0), value.cid]))])
  if (typeof value === 'number') return head(0, value)
  if (typeof value === 'string') return Buffer.concat([head(3, Buffer.byteLength(value)), Buffer.from(value)])
  if (value instanceof Uint8Array) return Buffer.concat([head(2, value.length), value])
  if (Array.isArray(value)) return Buffer.concat([head(4, value.length), ...value.map(cbor)])
  const entries = Object.entries(value as Record<string, unknown>)
  entries.sort(([a], [b]) => a.length - b.length || (a < b ? -1 : 1))
  return Buffer.concat([head(5, entries.length), ...entries.flatMap(([k, v]) => [cbor(k), cbor(v)])])
}

function head(major: number, value: number): Buffer {
  if (value < 24) return Buffer.of((major << 5) | value)
  const width = [1, 2, 4, 8].findIndex((bytes) => value < 2 ** (8 * bytes))
  return Buffer.concat([Buffer.of((major << 5) | (24 + width)), number(value, 2 ** width)])
}

/** Lower-case base32 (RFC 4648) without padding. */
export function base32(bytes: Uint8Array): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('')
  const groups = bits.match(/.{1,5}/g) ?? []
  return groups.map((g) => 'abcdefghijklmnopqrstuvwxyz234567'[Number.parseInt(g.padEnd(5, '0'), 2)]).join('')
}

export interface ReferenceCandidate {
  id: string
  group: string
  weight: number
}

/** Indexes in the order of preference, with the hash of each. */
export function order(tag: string, seed: Uint8Array, segmentIndex: number, candidates: ReferenceCandidate[]) {
  return candidates
    .map(({ id, weight }, index) => {
      const hash = sha(cbor([tag, seed, segmentIndex, id]))
      return { index, hash, key: -Math.log((hash.readUIntBE(0, 6) + 1) / 2 ** 48) / weight }
    })
    .filter(({ index }) => (candidates[index] as ReferenceCandidate).weight > 0)
    .sort((a, b) => a.key - b.key)
}

/** Placement of a segment where every holder can be another miner. */
export function placeChunks(
  seed: Uint8Array,
  segmentIndex: number,
  n: number,
  cap: number,
  candidates: ReferenceCandidate[],
): number[] {
  const perGroup = new Map<string, number>()
  const holders: number[] = []
  let placed = 0
  for (const { index, hash } of order('place-chunk/1', seed, segmentIndex, candidates)) {
    const { group } = candidates[index] as ReferenceCandidate
    const held = perGroup.get(group) ?? 0
    if (placed === n || held === cap) continue
    perGroup.set(group, held + 1)
    let chunk = hash.readUInt32BE(6) % n
    while (holders[chunk] !== undefined) chunk = (chunk + 1) % n
    holders[chunk] = index
    placed++
  }
  return holders
}
