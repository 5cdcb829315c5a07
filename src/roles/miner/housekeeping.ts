/** How often a miner looks after its disk, and how long it keeps what nobody needs: on a real network, and on a devnet. */
export interface Housekeeping {
  /** Between two looks whether the disk works. */
  readonly diskIntervalMs: number
  /** A disk that takes longer for a small file is not written, and one that takes longer for a leaf hangs. */
  readonly diskTimeoutMs: number
  /** In which every chunk is read again. */
  readonly scrubPeriodMs: number
  /** Between two looks for what has expired. */
  readonly sweepIntervalMs: number
  /** That what was released or has ended stays in the trash, in blocks of the chain's own time. */
  readonly trashMs: number
}

const DAY_MS = 24 * 3_600_000

export const MAINNET_HOUSEKEEPING: Housekeeping = {
  diskIntervalMs: 60_000,
  // A busy disk needs seconds for a sync; auditors wait longer than this for an answer.
  diskTimeoutMs: 20_000,
  scrubPeriodMs: 30 * DAY_MS,
  sweepIntervalMs: 60_000,
  trashMs: 7 * DAY_MS,
}

/** Fast enough to watch. */
export const DEVNET_HOUSEKEEPING: Housekeeping = {
  diskIntervalMs: 10_000,
  diskTimeoutMs: 10_000,
  scrubPeriodMs: 3_600_000,
  sweepIntervalMs: 10_000,
  trashMs: 3_600_000,
}
