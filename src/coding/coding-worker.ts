/** Entry point of a coding thread: answers one task after another until the pool ends it. */
import { parentPort } from 'node:worker_threads'
import { invariant } from '../base/errors.js'
import { answer, type CodingTask } from './coding-message.js'

const pool = parentPort
invariant(pool !== null, 'this program runs as a thread of a coding pool')
pool.on('message', (task: CodingTask) => {
  const { message, moved } = answer(task)
  pool.postMessage(message, moved)
})
