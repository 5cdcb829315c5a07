/** The slow step that makes a key of a wallet's password: on a thread of its own, or on this one. */
import { Worker } from 'node:worker_threads'
import { fromString } from 'uint8arrays'
import { sodiumReady } from './sodium.js'

/** The one salt of all wallets (source: btwallet, `NACL_SALT`): files of different people share it, so passwords must not be weak. */
const SALT = fromString('137183dff15a09bc9c90b5518739e9b1', 'base16')
const KEY_BYTES = 32

/** Makes a file's key of a password: 32 bytes. A port only so that tests need not pay for every one. */
export type StretchPassword = (password: string) => Promise<Uint8Array>

/**
 * argon2i with SENSITIVE limits: 8 passes over 512 MiB, about 5 s here. On a thread of its own, which ends with it and
 * gives the memory back: WASM never does.
 */
export const stretchPassword: StretchPassword = (password) =>
  new Promise((resolve, reject) => {
    const program = new URL('./stretch-worker.js', import.meta.url)
    const worker = new Worker(program, { name: 'stretch password', workerData: password })
    worker.once('message', (key: Uint8Array) => {
      resolve(key)
      void worker.terminate()
    })
    worker.once('error', reject)
    worker.once('exit', (code) => reject(new Error(`the thread ended with ${code} and no key`)))
  })

/** The same on this thread, which does nothing else meanwhile. */
export async function stretchHere(password: string): Promise<Uint8Array> {
  const sodium = await sodiumReady()
  return sodium.crypto_pwhash(
    KEY_BYTES,
    password,
    SALT,
    sodium.crypto_pwhash_argon2i_OPSLIMIT_SENSITIVE,
    sodium.crypto_pwhash_argon2i_MEMLIMIT_SENSITIVE,
    sodium.crypto_pwhash_ALG_ARGON2I13,
  )
}
