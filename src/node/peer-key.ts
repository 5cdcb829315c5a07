/** The node's network identity: an ed25519 seed in a file of its own, made at the first start. Not a hotkey. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { rewriteFile } from '../base/durable-file.js'
import { SubnetError } from '../base/errors.js'
import { makeDirectory } from '../base/make-directory.js'
import type { Random } from '../base/random.js'

const SEED_BYTES = 32
const FILE_NAME = 'peer-key'

/** 32 bytes. Rejects with `CONFIG` when the file is there and is no key: it is never replaced. */
export async function loadOrCreatePeerKey(directory: string, random: Random): Promise<Uint8Array> {
  const path = join(directory, FILE_NAME)
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw new SubnetError('DISK', `cannot read ${path}`, { cause: error })
  })
  if (text !== undefined) {
    const seed = Buffer.from(text.trim(), 'hex')
    if (seed.length === SEED_BYTES) return Uint8Array.from(seed)
    throw new SubnetError(
      'CONFIG',
      `${path} is torn or no peer key: restore it, or move it away for a new identity`,
    )
  }
  const seed = random.bytes(SEED_BYTES)
  await makeDirectory(directory, 0o700)
  await rewriteFile(path, `${Buffer.from(seed).toString('hex')}\n`)
  return seed
}
