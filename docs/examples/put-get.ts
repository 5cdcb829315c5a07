/** Five lines to put and get. `node dist/docs/examples/put-get.js dev://127.0.0.1:9955` */
import { createClient } from 'subnet-node'

const [chain = 'dev://127.0.0.1:9955'] = process.argv.slice(2)

const client = createClient({ chain })
await client.start()
const { capability } = await client.storage.put([new TextEncoder().encode('hello\n')], { profile: 'single' })
const { data } = await client.storage.get(capability)
for await (const bytes of data) process.stdout.write(bytes)
await client.stop()
