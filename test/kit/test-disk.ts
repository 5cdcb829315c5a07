/** A miner's disk as its services see it, for tests: it works until a test says otherwise. */
import { type Logger, silentLogger } from '../../src/base/log.js'
import { DiskHealth, type DiskTrouble } from '../../src/roles/miner/disk-watch.js'
import { Inspector } from '../../src/roles/miner/inspector.js'

export interface TestDisk {
  readonly health: DiskHealth
  readonly inspector: Inspector
  /** What the disk says when it is asked. */
  works: boolean
  /** What it does not do when it does not work. */
  refuses: DiskTrouble['refuses']
}

export function testDisk(logger: Logger = silentLogger): TestDisk {
  const health = new DiskHealth()
  const disk: TestDisk = {
    health,
    inspector: new Inspector({
      diskWorks: async () => {
        health.set(disk.works ? undefined : { refuses: disk.refuses, reason: 'it is away' })
        return disk.works
      },
      logger,
    }),
    works: true,
    refuses: 'everything',
  }
  return disk
}
