/**
 * A libp2p node in a process of its own, for tests where both ends in one event loop would hide the truth about
 * backpressure. Started by `netChild()`; dies with its parent.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { PeerAddress } from '../../src/net/net.js'
import { countingWriter, readAll, writePieces } from '../conformance/duplex.js'
import { addressOf, netNode } from './net-node.js'
import { until } from './until.js'

/** Protocols the child serves. */
export const CHILD = {
  /** Never reads. */
  sleeper: '/test/sleeper/1',
  /** Writes without end; `written` tells how much it got rid of. */
  flood: '/test/flood/1',
  /** Reads slowly to the end and answers with the digest of it all. */
  slowSink: '/test/slow-sink/1',
  /** Writes `SOURCE_PIECES` pieces and closes. */
  source: '/test/source/1',
} as const

export const SOURCE_PIECES = 4096

export interface NetChild extends AsyncDisposable {
  readonly address: PeerAddress
  /** Bytes that the flood handler got rid of so far. */
  written(): Promise<number>
  /** Stops the node and waits until the process ends by itself. */
  stop(): Promise<void>
}

export async function netChild(): Promise<NetChild> {
  const child = fork(fileURLToPath(import.meta.url), ['child'], { stdio: 'inherit' })
  const [address] = (await once(child, 'message')) as [PeerAddress]
  return {
    address,
    async written() {
      child.send('written')
      const [bytes] = (await once(child, 'message')) as [number]
      return bytes
    },
    stop: () => stop(child),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
    },
  }
}

async function stop(child: ChildProcess): Promise<void> {
  child.send('stop')
  await until(() => child.exitCode === 0, { deadlineMs: 15_000, title: 'the child ends by itself' })
}

async function runChild(): Promise<void> {
  const net = netNode('child')
  let flood = { bytes: 0 }
  let wake: () => void = () => undefined
  const awake = new Promise<void>((resolve) => {
    wake = resolve
  })
  const limits = { inboundStreamsMax: 4, outboundStreamsMax: 4 }
  net.handle({ id: CHILD.sleeper, ...limits }, () => awake)
  net.handle({ id: CHILD.flood, ...limits }, async (duplex) => {
    const writer = countingWriter(duplex)
    flood = writer
    await writer.failed
  })
  net.handle({ id: CHILD.slowSink, ...limits }, async (duplex) => {
    const received = await readAll(duplex, turn)
    await duplex.write(new TextEncoder().encode(received.digest))
  })
  net.handle({ id: CHILD.source, ...limits }, (duplex) => writePieces(duplex, SOURCE_PIECES))
  await net.start()

  const orphaned = () => process.exit(1)
  process.once('disconnect', orphaned)
  process.on('message', (message) => {
    if (message === 'written') process.send?.(flood.bytes)
    if (message !== 'stop') return
    wake()
    // From here on nothing may hold the process: a handle that the node leaves open fails the test.
    process.off('disconnect', orphaned)
    net.stop().then(() => process.disconnect())
  })
  process.send?.(addressOf(net))
}

if (process.argv[2] === 'child' && process.send !== undefined) await runChild()
