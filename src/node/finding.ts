/** What one look of the doctor showed. */
import type { ErrorCode } from '../base/errors.js'

export type CheckName =
  | 'directory'
  | 'disk'
  | 'port'
  | 'coldkey'
  | 'chain'
  | 'subnet'
  | 'genesis'
  | 'hotkey'
  | 'registration'
  | 'stake'
  | 'permit'
  | 'weights'
  | 'blocks'
  | 'clock'

/** `skipped`: what it needs has failed itself, or it does not concern this node. */
export interface Finding {
  readonly check: CheckName
  readonly state: 'ok' | 'failed' | 'skipped'
  /** What is so, for people. */
  readonly text: string
  /** What to do about it, and the code a node would fail with: of a failed one. */
  readonly remedy?: string
  readonly code?: ErrorCode
}

export function ok(check: CheckName, text: string): Finding {
  return { check, state: 'ok', text }
}

export function skipped(check: CheckName, text: string): Finding {
  return { check, state: 'skipped', text }
}

export function failed(check: CheckName, text: string, remedy: string, code: ErrorCode): Finding {
  return { check, state: 'failed', text, remedy, code }
}
