/**
 * The child's side of `devnet`: tells the parent when it is ready and answers its questions. Only a process that was
 * started with an IPC channel takes part. That it goes when the parent is gone is `interrupt.ts`.
 */
import { toSubnetError } from '../base/errors.js'
import type { NodeIdentity, SubnetNode } from '../node/node.js'
import { toJson } from './output.js'

/** What the parent may ask. */
export type Question = 'miners' | 'audit'

export type ParentMessage = { readonly type: 'ask'; readonly id: number; readonly question: Question }

export type ChildMessage =
  | { readonly type: 'ready'; readonly identity: NodeIdentity }
  | { readonly type: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly type: 'failed'; readonly id: number; readonly code: string; readonly reason: string }

/** Serves the parent until it disconnects. */
export function serveParent(node: SubnetNode): void {
  if (process.send === undefined) return
  const send = (message: ChildMessage) => {
    // As text first: BigInts and bytes do not cross the channel as they are. A parent that is gone hears nothing.
    if (process.connected) process.send?.(JSON.parse(toJson(message)))
  }
  process.on('message', (message: ParentMessage) => {
    answer(node, message.question).then(
      (value) => send({ type: 'answer', id: message.id, value }),
      (error: unknown) => {
        const { code, message: reason } = toSubnetError(error)
        send({ type: 'failed', id: message.id, code, reason })
      },
    )
  })
  send({ type: 'ready', identity: node.identity })
}

async function answer(node: SubnetNode, question: Question): Promise<unknown> {
  if (question === 'audit') return await node.audit()
  return (await node.miners()).map(({ member, capacity }) => ({ hotkey: member.hotkey, ...capacity }))
}
