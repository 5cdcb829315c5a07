/**
 * A miner without its network that takes, signs for and releases chunks until it is killed: partition, keeper and store
 * service as they are. Tells its parent what it has acknowledged. Arguments: the data directory and the number of the
 * first object. Started by `shard-miner-kill.test.ts`.
 */
import { signOrder } from '../../protocols/order/order.js'
import { ActorSystem } from '../../src/actor/system.js'
import { systemClock } from '../../src/base/clock.js'
import { silentLogger } from '../../src/base/log.js'
import { GIB } from '../../src/base/units.js'
import { cryptoReady } from '../../src/crypto/keys.js'
import { DiskHealth } from '../../src/roles/miner/disk-watch.js'
import { keeper } from '../../src/roles/miner/keeper.js'
import { StoreService } from '../../src/roles/miner/store-service.js'
import { createPartitionStore } from '../../src/shard/partition-store.js'
import { testId } from '../kit/test-chunk.js'
import { TEST_DOMAIN } from '../kit/test-subnet.js'
import {
  killedChunk,
  MINER,
  type MinerReport,
  OBJECT_CHUNKS,
  objectId,
  VALIDATOR,
  validatorAddress,
} from './killed-miner.js'

const [path, first] = process.argv.slice(2)
// The parent's end closes when it dies too.
process.on('disconnect', () => process.exit())
await cryptoReady()
const store = createPartitionStore({ path: String(path) }, { logger: silentLogger })
await store.start()
await store.open(validatorAddress())
const share = { validator: validatorAddress(), shareBytes: GIB, drains: false }
await store.setPlan({ budgetBytes: GIB, shares: [share] })
const actors = new ActorSystem(
  { clock: systemClock, log: silentLogger },
  { onFailure: () => process.exit(1) },
)
const service = new StoreService(
  {
    keeper: actors.spawn({
      id: 'keeper',
      behavior: keeper(store),
      restart: 'permanent',
      mailbox: { max: 1_024, policy: 'reject' },
      tasksMax: 8,
    }),
    shards: store,
    signer: MINER(),
    head: { block: 1 },
    health: new DiskHealth(),
    onDiskFailure: () => process.exit(1),
    onCounted: () => undefined,
  },
  { domain: TEST_DOMAIN, trashBlocks: 1_000 },
)

let next = Number(first)
async function work(client: number): Promise<never> {
  for (;;) {
    const object = next++
    const order = signOrder(VALIDATOR(), TEST_DOMAIN, {
      verb: 'put',
      client: testId(32, client),
      miner: MINER().publicKey,
      maxBytes: GIB,
      serial: testId(16, object),
      expiresBlock: 100,
      leaseEndBlock: 500,
    })
    const chunks = Array.from({ length: OBJECT_CHUNKS }, (_, index) => killedChunk(object, index))
    await Promise.all(
      chunks.map(async (chunk, index) => {
        const reservation = await service.reserve(order, chunk.sizeBytes)
        await reservation.keep(chunk)
        tell({ stored: object * OBJECT_CHUNKS + index })
      }),
    )
    await service.lease(order, {
      object: objectId(object),
      entries: chunks.map((chunk, index) => [chunk.digest, chunk.auditRoot, chunk.sizeBytes, 0, index]),
      endBlock: 500,
    })
    tell({ leased: object })
    if (object % 4 !== 0) continue
    tell({ releasing: object })
    await service.release(VALIDATOR().publicKey, objectId(object))
  }
}

function tell(report: MinerReport): void {
  process.send?.(report)
}

await Promise.all(Array.from({ length: 4 }, (_, client) => work(client)))
