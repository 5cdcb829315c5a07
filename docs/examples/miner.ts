/**
 * A miner inside another program, until SIGTERM. On a devchain it registers itself; elsewhere its hotkey must be
 * registered before. `node dist/docs/examples/miner.js dev://127.0.0.1:9955 DIRECTORY`
 */
import { createLogger, createNode } from 'subnet-node'

const [chain = 'dev://127.0.0.1:9955', dataPath = 'miner-data'] = process.argv.slice(2)
const stopping = new AbortController()
process.once('SIGTERM', () => stopping.abort())

const node = createNode(
  { role: 'miner', chain, dataPath, capacityBytes: 64 * 1024 * 1024 },
  {
    logger: createLogger('warn'),
    // It cannot go on, a full log says why: whoever watches this program starts it again.
    onFailure: (reason) => stopping.abort(reason),
  },
)
await node.start()
console.log(JSON.stringify(node.identity))
if (!stopping.signal.aborted) {
  await new Promise((resolve) => stopping.signal.addEventListener('abort', resolve, { once: true }))
}
await node.stop()
