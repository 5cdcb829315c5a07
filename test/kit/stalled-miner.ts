/** A devnet whose one miner has a chunk, and peers that all stall at it. */
import { RetrieveStream } from '../../protocols/retrieve/client.js'
import { systemClock } from '../../src/base/clock.js'
import { seededRandom } from '../../src/base/random.js'
import type { Devnet } from '../../src/cli/devnet/devnet.js'
import { createClient } from '../../src/node/client.js'
import { parseCapability } from '../../src/redundancy/capability.js'
import { parseManifestRoot } from '../../src/redundancy/manifest.js'
import { CHUNK_SIZE } from '../../src/redundancy/profiles.js'
import { type StallingInit, type StallingPeers, stallingPeers } from './stalling-peers.js'
import { hex } from './vectors.js'

/** Peers of one process. */
const PEERS_PER_PROCESS = 100

/** Resolves when all streams of all peers stand still. */
export async function stallAll(devnet: Devnet, peers: number): Promise<StallingPeers> {
  const init = await describe(devnet)
  const groups = Array.from({ length: Math.ceil(peers / PEERS_PER_PROCESS) }, (_, group) => ({
    ...init,
    name: `group ${group}`,
    peers: Math.min(PEERS_PER_PROCESS, peers - group * PEERS_PER_PROCESS),
  }))
  const started = await Promise.allSettled(groups.map((group) => stallingPeers(group)))
  const stalled = started.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
  const end = async () => {
    await Promise.all(stalled.map((each) => each[Symbol.asyncDispose]()))
  }
  const failed = started.find((each) => each.status === 'rejected')
  if (failed !== undefined) {
    await end()
    throw failed.reason
  }
  const streams = stalled.reduce((sum, each) => sum + each.streams, 0)
  return { streams, [Symbol.asyncDispose]: end }
}

/** Puts a chunk, and says where it is and who gives orders. */
async function describe(devnet: Devnet): Promise<Omit<StallingInit, 'name' | 'peers'>> {
  const client = createClient({ chain: devnet.endpoint })
  await client.start()
  try {
    const { view, network, chain } = client.subnet
    const peerOf = (isValidator: boolean) => {
      const member = view.members().find(({ validatorPermit }) => validatorPermit === isValidator)
      if (member?.endpoint === undefined) throw new Error('the devnet is not up')
      return { ...member.endpoint, hotkey: member.publicKey }
    }
    const [miner, validator] = [peerOf(false), peerOf(true)]
    const bytes = seededRandom('stalled').bytes(CHUNK_SIZE)
    const { capability } = await client.storage.put([bytes], { profile: 'single' })
    const components = { ...network, clock: systemClock }
    const stream = await RetrieveStream.open(components, miner, undefined)
    const { content } = parseManifestRoot(await stream.getWhole(parseCapability(capability).address))
    await stream.close()
    const chunk = content.kind === 'segments' ? content.segments[0]?.chunks[0] : undefined
    if (chunk === undefined) throw new Error('the manifest names no chunk')
    const asText = (peer: typeof miner) => ({ ...peer, hotkey: hex(peer.hotkey) })
    return {
      genesis: hex(network.domain.genesis),
      netuid: chain.constants.netuid,
      block: view.block,
      blockMs: chain.constants.blockMs,
      miner: asText(miner),
      validator: asText(validator),
      digest: hex(chunk.digest),
    }
  } finally {
    await client.stop()
  }
}
