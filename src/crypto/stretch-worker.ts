/** Entry point of the thread that stretches one password: its data is the password, its one message the key. */
import { parentPort, workerData } from 'node:worker_threads'
import { invariant } from '../base/errors.js'
import { stretchHere } from './stretch-password.js'

invariant(parentPort !== null, 'this program runs as a thread')
parentPort.postMessage(await stretchHere(workerData))
