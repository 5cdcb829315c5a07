/**
 * A file in and out as a program does it: progress, an end to patience, a range of the bytes, and errors by their codes.
 * `node dist/docs/examples/transfer.js dev://127.0.0.1:9955 FILE`
 */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { createClient, isSubnetError } from 'subnet-node'

const [chain = 'dev://127.0.0.1:9955', file = ''] = process.argv.slice(2)
const client = createClient({ chain, defaultProfile: 'single' })
await client.start()
try {
  const { size } = await stat(file)
  // A function instead of a stream: another validator can take over when the first one is lost on the way.
  const stored = await client.storage.put(() => createReadStream(file), {
    sizeBytes: size,
    signal: AbortSignal.timeout(60_000),
    onProgress: ({ doneBytes, peers }) =>
      console.log(`stored ${doneBytes} of ${size} bytes at ${peers} miners`),
  })
  console.log(`kept until block ${stored.endBlock} by ${stored.holders.length} miners`)

  // The last 100 bytes, and no more than those are fetched.
  const { data, range } = await client.storage.get(stored.capability, {
    range: { start: Math.max(0, size - 100) },
    onProgress: ({ doneBytes, totalBytes }) => console.log(`read ${doneBytes} of ${totalBytes} bytes`),
  })
  let readBytes = 0
  for await (const bytes of data) readBytes += bytes.length
  console.log(`bytes ${range.start} to ${range.end}: ${readBytes} read and verified`)

  const { health, weakest } = await client.storage.stat(stored.capability)
  console.log(`${health}: ${weakest.live} of ${weakest.n} chunks live, ${weakest.k} needed`)

  // An abort rejects with its own reason, and what was sent is not counted.
  const put = client.storage.put(() => createReadStream(file), {
    signal: AbortSignal.abort(new Error('enough')),
  })
  await put.catch((error: unknown) => console.log(`aborted: ${(error as Error).message}`))

  await client.storage.release(stored.capability)
  // Codes are API, messages are for people.
  await client.storage.renew(stored.capability).catch((error: unknown) => {
    if (!isSubnetError(error, 'NOT_FOUND')) throw error
    console.log(`${error.code}: nobody knows it any more`)
  })
} finally {
  await client.stop()
}
