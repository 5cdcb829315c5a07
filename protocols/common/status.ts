/** How failures cross the wire: a small number, never a stack or a text that is not meant for the other side. */
import { z } from 'zod'
import type { ErrorCode } from '../../src/base/errors.js'
import { isSubnetError, SubnetError } from '../../src/base/errors.js'
import { integer } from './schema.js'

/** Frozen: a number keeps its meaning for ever. Codes without a number leave the node as INTERNAL. */
export const WIRE_STATUS = {
  INVALID: 1,
  UNAUTHENTICATED: 2,
  BAD_SIGNATURE: 3,
  REFUSED: 4,
  NO_SPACE: 5,
  BUSY: 6,
  NOT_FOUND: 7,
  MISMATCH: 8,
  TIMEOUT: 9,
  TOO_FEW_PEERS: 10,
  NOT_DURABLE: 11,
  UNRECOVERABLE: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
} as const satisfies Partial<Record<ErrorCode, number>>

const CODE_OF_STATUS: ReadonlyMap<number, ErrorCode> = new Map(
  Object.entries(WIRE_STATUS).map(([code, status]) => [status, code as ErrorCode]),
)

/** Longest explanation sent with a status, in characters. */
export const REASON_CHARS_MAX = 200
/** Longest pause a peer may ask for. */
export const RETRY_AFTER_MS_MAX = 60_000

export const failureSchema = z.strictObject({
  type: z.literal('failure'),
  status: integer(1, 255),
  /** For people; empty for INTERNAL. */
  reason: z.string().max(REASON_CHARS_MAX),
  retryAfterMs: integer(0, RETRY_AFTER_MS_MAX).optional(),
})

export type Failure = z.infer<typeof failureSchema>

/** Whether the other side may know what went wrong. What it may not is this node's own trouble, and for its log. */
export function isTellable(error: unknown): error is SubnetError {
  return statusOf(error) !== WIRE_STATUS.INTERNAL
}

/** What the other side may know of an error. */
export function toFailure(error: unknown): Failure {
  if (!isTellable(error)) return { type: 'failure', status: WIRE_STATUS.INTERNAL, reason: '' }
  const { retryAfterMs } = error.data
  return {
    type: 'failure',
    status: statusOf(error),
    reason: error.message.slice(0, REASON_CHARS_MAX),
    ...(typeof retryAfterMs === 'number'
      ? { retryAfterMs: Math.min(Math.ceil(retryAfterMs), RETRY_AFTER_MS_MAX) }
      : {}),
  }
}

/** The error a peer's failure becomes here. A status we do not know is INTERNAL: newer peers may have more. */
export function fromFailure(failure: Failure, peer: string): SubnetError {
  const code = CODE_OF_STATUS.get(failure.status) ?? 'INTERNAL'
  const reason = failure.reason === '' ? 'the peer failed without saying why' : printable(failure.reason)
  return new SubnetError(code, `${peer}: ${reason}`, {
    data: { peer, ...(failure.retryAfterMs === undefined ? {} : { retryAfterMs: failure.retryAfterMs }) },
  })
}

/** The pause that a busy peer asks for, milliseconds, if this is what it said. */
export function busyMs(error: unknown): number | undefined {
  if (!isSubnetError(error, 'BUSY')) return undefined
  const { retryAfterMs } = error.data
  return typeof retryAfterMs === 'number' ? retryAfterMs : undefined
}

function statusOf(error: unknown): number {
  const statuses: Partial<Record<ErrorCode, number>> = WIRE_STATUS
  return (isSubnetError(error) ? statuses[error.code] : undefined) ?? WIRE_STATUS.INTERNAL
}

/** Printable ASCII only: a peer's words end up on terminals and in logs. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?')
}
