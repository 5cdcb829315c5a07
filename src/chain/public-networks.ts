/**
 * The chains on which strangers meet and value is real, by the hash of their genesis: an endpoint only claims to be one. No
 * endpoints here: those are `subtensor/networks.ts`.
 */

/** Source: the chain specs of opentensor/subtensor. */
export const PUBLIC_GENESIS = {
  finney: '0x2f0555cc76fc2840a25a6ea3b9637146806f1f44b090c175ffde2a7e5ab36c03',
  test: '0x8f9cf856bf558a14440e75569c9e58594757048d7b3a84b5d25f6bd978263105',
} as const

/** Its name, if this is one of them; however the hash is spelt. */
export function publicNetwork(genesisHash: string): keyof typeof PUBLIC_GENESIS | undefined {
  const names = Object.keys(PUBLIC_GENESIS) as (keyof typeof PUBLIC_GENESIS)[]
  return names.find((name) => PUBLIC_GENESIS[name] === genesisHash.toLowerCase())
}
