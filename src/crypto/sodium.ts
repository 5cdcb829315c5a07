/** libsodium, loaded when it is first needed: 1 MB of WASM that only key files need. */
import type Sodium from 'libsodium-wrappers-sumo'

/** Ready for use. */
export async function sodiumReady(): Promise<typeof Sodium> {
  const { default: sodium } = await import('libsodium-wrappers-sumo')
  await sodium.ready
  return sodium
}
