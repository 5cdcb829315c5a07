/** One block of a devchain as a function of what came before it: whoever has the same operations makes the same block. */
import { encode } from '@ipld/dag-cbor'
import { toString as bytesToText } from 'uint8arrays'
import { sha256 } from '../../crypto/hash.js'
import type { BlockHead } from '../chain.js'
import { DEVCHAIN_TAG } from './genesis.js'
import { type DevchainState, stateRoot } from './ledger.js'
import type { Pooled } from './pool.js'
import type { RefusalNote } from './refusals.js'
import { applyOperation, onBlock } from './state.js'

export interface Block {
  readonly head: BlockHead
  readonly state: DevchainState
  /** `stateRoot` of the state. */
  readonly root: Uint8Array
  readonly operations: readonly Pooled[]
  /** By operation; `null` where it took effect. */
  readonly refusals: ReadonlyArray<RefusalNote | null>
}

export interface BlockInit {
  readonly operations: readonly Pooled[]
  readonly timestampMs: number
  /** How often blocks were dropped before: what follows a reorg is another block. */
  readonly reorgs: number
}

export function nextBlock(parent: Block, { operations, timestampMs, reorgs }: BlockInit): Block {
  const number = parent.head.number + 1
  let state = onBlock(parent.state, number)
  const refusals: (RefusalNote | null)[] = []
  for (const { operation } of operations) {
    const applied = applyOperation(state, operation, number)
    state = applied.state
    refusals.push(applied.refusal ?? null)
  }
  const root = state === parent.state ? parent.root : stateRoot(state)
  const header = {
    tag: `${DEVCHAIN_TAG}/block`,
    parent: parent.head.hash,
    number,
    timestampMs,
    reorgs,
    operations: operations.map(({ id }) => id),
    stateRoot: root,
  }
  const hash = `0x${bytesToText(sha256(encode(header)), 'base16')}`
  return { head: { number, hash, timestampMs }, state, root, operations, refusals }
}
