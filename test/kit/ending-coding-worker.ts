/** A coding thread that ends, in the way the plaintext's first byte says, where the real one would encode. */
import { parentPort } from 'node:worker_threads'
import { answer, type CodingTask } from '../../src/coding/coding-message.js'

export const ENDS_BY_EXIT = 13
export const ENDS_BY_ERROR = 14

parentPort?.on('message', (task: CodingTask) => {
  const order = task.type === 'encode' ? task.plaintext[0] : undefined
  if (order === ENDS_BY_EXIT) process.exit(3)
  if (order === ENDS_BY_ERROR) throw new RangeError('out of memory')
  const { message, moved } = answer(task)
  parentPort?.postMessage(message, moved)
})
