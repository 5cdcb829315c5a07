/**
 * Whose data a directory holds: layout version, role, hotkey and the chain's genesis, written at the first start. A node
 * that finds another stamp does not write a byte.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { rewriteFile } from '../base/durable-file.js'
import { SubnetError } from '../base/errors.js'

/** Grows whenever a program and what an older or newer one has written do not fit. */
export const DATA_LAYOUT = 4
const FILE_NAME = 'stamp.json'

const stampSchema = z.strictObject({
  layout: z.number(),
  role: z.string(),
  hotkey: z.string(),
  genesisHash: z.string(),
})
export type DataStamp = Omit<z.infer<typeof stampSchema>, 'layout'>

/** Stamps a fresh directory, or checks the stamp of a used one. Rejects with `DATA_DIR` saying what differs. */
export async function claimDataDirectory(path: string, stamp: DataStamp): Promise<void> {
  const own = { layout: DATA_LAYOUT, ...stamp }
  const found = await readDataStamp(path)
  if (found === undefined) await rewriteFile(join(path, FILE_NAME), `${JSON.stringify(own)}\n`)
  else compare(path, found, own)
}

/** The stamp of a used directory. Rejects with `DATA_DIR` when it is torn, `DISK` when it cannot be read. */
export async function readDataStamp(path: string): Promise<z.infer<typeof stampSchema> | undefined> {
  const file = join(path, FILE_NAME)
  const text = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return undefined
    throw new SubnetError('DISK', `cannot read ${file}`, { cause })
  })
  return text === undefined ? undefined : parseStamp(file, text)
}

function parseStamp(file: string, text: string): z.infer<typeof stampSchema> {
  try {
    return stampSchema.parse(JSON.parse(text))
  } catch (cause) {
    throw new SubnetError('DATA_DIR', `${file} is torn or no stamp: restore it, or use another directory`, {
      cause,
    })
  }
}

function compare(path: string, found: z.infer<typeof stampSchema>, own: z.infer<typeof stampSchema>): void {
  if (found.layout !== own.layout) {
    const text = `${path} has data layout ${found.layout}, this program reads ${own.layout}`
    throw new SubnetError('DATA_DIR', text, { data: { path, found: found.layout, own: own.layout } })
  }
  for (const key of ['role', 'hotkey', 'genesisHash'] as const) {
    if (found[key] === own[key]) continue
    const text = `${path} belongs to another node: its ${key} is ${found[key]}, ours ${own[key]}; use another --node_name`
    throw new SubnetError('DATA_DIR', text, { data: { path, field: key, found: found[key], own: own[key] } })
  }
}
