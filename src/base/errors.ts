/**
 * Expected failures. Codes are API and never change their meaning; messages are for people and may.
 * Programmer errors are not here: they are `invariant`, and stop the actor they happen in.
 */

/** Every code an operation of this package can fail with, and whether trying again unchanged may help. */
export const ERROR_CODES = {
  /** A message, file or capability does not have the form its specification asks for. */
  INVALID: { retryable: false },
  /** A peer did not prove who it is in time. */
  UNAUTHENTICATED: { retryable: true },
  /** A signature does not verify. */
  BAD_SIGNATURE: { retryable: false },
  /** The caller is known but may not do this: wrong role, no permit, order not for it, expired or spent. */
  REFUSED: { retryable: false },
  /** The quota, the reservation or the disk has no room. */
  NO_SPACE: { retryable: true },
  /** The other side is at a limit now; `data.retryAfterMs` says when to come back. */
  BUSY: { retryable: true },
  /** The other side cannot serve now, and says why; others may. */
  UNAVAILABLE: { retryable: true },
  /** The thing asked for is not held here. */
  NOT_FOUND: { retryable: false },
  /** Bytes do not hash to the digest or root that names them. */
  MISMATCH: { retryable: false },
  /** A deadline passed. */
  TIMEOUT: { retryable: true },
  /** No connection to the peer, or it was lost. */
  DISCONNECTED: { retryable: true },
  /** The network is too small for what was asked. */
  TOO_FEW_PEERS: { retryable: true },
  /** Fewer receipts than the durable quorum: what was sent is not safe. */
  NOT_DURABLE: { retryable: true },
  /** Fewer live chunks than the code needs. */
  UNRECOVERABLE: { retryable: true },
  /** A setting is wrong; nothing was done. */
  CONFIG: { retryable: false },
  /** The data directory belongs to another node, chain or version, or is in use. */
  DATA_DIR: { retryable: false },
  /** The disk failed to read, write or sync. */
  DISK: { retryable: false },
  /** The chain does not answer. */
  CHAIN_UNAVAILABLE: { retryable: true },
  /** The chain refused a call; `data.reason` is the chain's own name for it. */
  CHAIN_REFUSED: { retryable: false },
  /** The component was stopped. */
  STOPPED: { retryable: false },
  /** Something unexpected; the details stay in the log of the side where it happened. */
  INTERNAL: { retryable: false },
} as const

export type ErrorCode = keyof typeof ERROR_CODES

/** What an error says beyond its text: small plain values, safe to print and to send as JSON. */
export type ErrorData = Readonly<Record<string, string | number | boolean | readonly string[]>>

export interface SubnetErrorOptions {
  readonly cause?: unknown
  readonly data?: ErrorData
  /** Overrides the code's default. */
  readonly retryable?: boolean
}

/** The one error class of this package. */
export class SubnetError extends Error {
  override readonly name = 'SubnetError'
  readonly code: ErrorCode
  readonly data: ErrorData
  readonly retryable: boolean

  constructor(code: ErrorCode, message: string, options: SubnetErrorOptions = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause })
    this.code = code
    this.data = options.data ?? {}
    this.retryable = options.retryable ?? ERROR_CODES[code].retryable
  }
}

export function isSubnetError(error: unknown, code?: ErrorCode): error is SubnetError {
  return error instanceof SubnetError && (code === undefined || error.code === code)
}

/** Turns whatever was thrown into a `SubnetError`, keeping it as the cause. */
export function toSubnetError(error: unknown, code: ErrorCode = 'INTERNAL', what?: string): SubnetError {
  if (error instanceof SubnetError) return error
  const text = error instanceof Error ? error.message : String(error)
  return new SubnetError(code, what === undefined ? text : `${what}: ${text}`, { cause: error })
}

/** A broken invariant is a defect of this program, never of its input. */
export class InvariantError extends Error {
  override readonly name = 'InvariantError'
}

export function invariant(condition: unknown, why: string): asserts condition {
  if (!condition) throw new InvariantError(why)
}
