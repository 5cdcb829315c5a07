/**
 * Chain records in the Commitments pallet: the endpoint is one field, `RawN` where N is its exact length. What other
 * programs committed there is not ours to understand and is left out.
 */
import { u8aToHex } from '@polkadot/util'
import * as z from 'zod'
import type { AbortOptions } from '../../base/abort.js'
import { SubnetError } from '../../base/errors.js'
import type { ChainRecord } from '../chain.js'
import { decodeEndpoint, encodeEndpoint } from '../record.js'
import { address, bytes } from './json.js'
import type { RuntimeCall } from './runtime.js'
import { read, type StateAt } from './state-reader.js'

const registration = z.object({ info: z.object({ fields: z.array(z.unknown()) }) })

/** Throws `INVALID` for a record that is malformed or too long. */
export function commitmentCall(netuid: number, record: ChainRecord): RuntimeCall {
  const endpoint = encodeEndpoint(record)
  const fields = [{ [`Raw${endpoint.length}`]: u8aToHex(endpoint) }]
  return { pallet: 'Commitments', name: 'set_commitment', args: { netuid, info: { fields } } }
}

/** By hotkey, registered or not. */
export async function readRecords(
  state: StateAt,
  netuid: number,
  options: AbortOptions,
): Promise<Map<string, ChainRecord>> {
  const records = new Map<string, ChainRecord>()
  for (const { keys, value } of await state.entries(['Commitments', 'CommitmentOf', netuid], options)) {
    const record = recordOf(value)
    if (record !== undefined) records.set(read(address, keys[1], 'Commitments.CommitmentOf'), record)
  }
  return records
}

function recordOf(value: unknown): ChainRecord | undefined {
  const [field] = registration.safeParse(value).data?.info.fields ?? []
  const [name, content] = typeof field === 'object' && field !== null ? (Object.entries(field)[0] ?? []) : []
  const raw = name !== undefined && /^raw\d+$/i.test(name) ? bytes.safeParse(content).data : undefined
  if (raw === undefined) return undefined
  try {
    return decodeEndpoint(raw)
  } catch (error) {
    // Bytes of another program, or of a hotkey that writes nonsense: it has no record.
    if (error instanceof SubnetError) return undefined
    throw error
  }
}
