/** Exit codes, after BSD's sysexits. Frozen: scripts depend on them. */
import type { ErrorCode } from '../base/errors.js'
import { isSubnetError } from '../base/errors.js'

export const EXIT_OK = 0
/** Unexpected: a defect or something that has no better code. */
export const EXIT_FAILURE = 1
/** Wrong words on the command line. */
export const EXIT_USAGE = 64
/** SIGINT or SIGTERM ended the command before it was done. */
export const EXIT_INTERRUPTED = 130

const EXIT_OF_CODE: Readonly<Record<ErrorCode, number>> = {
  INVALID: 65,
  BAD_SIGNATURE: 65,
  MISMATCH: 65,
  NOT_FOUND: 66,
  DISCONNECTED: 69,
  TOO_FEW_PEERS: 69,
  UNRECOVERABLE: 69,
  NOT_DURABLE: 69,
  CHAIN_UNAVAILABLE: 69,
  DISK: 74,
  BUSY: 75,
  UNAVAILABLE: 75,
  TIMEOUT: 75,
  NO_SPACE: 75,
  REFUSED: 77,
  UNAUTHENTICATED: 77,
  CHAIN_REFUSED: 77,
  CONFIG: 78,
  DATA_DIR: 78,
  STOPPED: EXIT_INTERRUPTED,
  INTERNAL: EXIT_FAILURE,
}

export function exitCodeOf(error: unknown): number {
  return isSubnetError(error) ? EXIT_OF_CODE[error.code] : EXIT_FAILURE
}
