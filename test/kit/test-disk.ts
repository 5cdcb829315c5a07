/** A miner's disk as its services see it, for tests: it works until a test says otherwise. */
import { type Logger, silentLogger } from '../../src/base/log.js'
import { DiskHealth } from '../../src/roles/miner/disk-watch.js'
import { Inspector } from '../../src/roles/miner/inspector.js'

export interface TestDisk {
  readonly health: DiskHealth
  readonly inspector: Inspector
  /** What the disk says when it is asked. */
  works: boolean
}

export function testDisk(logger: Logger = silentLogger): TestDisk {
  const health = new DiskHealth()
  const disk: TestDisk = {
    health,
    inspector: new Inspector({
      diskWorks: async () => {
        health.set(disk.works ? undefined : 'it is away')
        return disk.works
      },
      logger,
    }),
    works: true,
  }
  return disk
}
