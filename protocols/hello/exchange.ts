/** One stream from open to end, for clients and servers of every protocol above `hello`. */
import type { AbortOptions } from '../../src/base/abort.js'
import type { Clock } from '../../src/base/clock.js'
import { isSubnetError } from '../../src/base/errors.js'
import { FrameStream, serveFrames } from '../common/frames.js'
import type { ProtocolSpec } from '../common/protocol.js'
import { protocolId } from '../common/protocol.js'
import { busyMs } from '../common/status.js'
import type { Role } from './messages.js'
import type { KnownPeer, Session, Sessions } from './sessions.js'

/** What every protocol's client needs. */
export interface PeerComponents {
  readonly sessions: Sessions
  readonly clock: Clock
}

/** Opens a stream to exactly this hotkey. The caller ends it. */
export async function openFrames(
  components: PeerComponents,
  spec: ProtocolSpec,
  peer: KnownPeer,
  options: AbortOptions = {},
): Promise<FrameStream> {
  const { sessions, clock } = components
  return new FrameStream(await sessions.open(peer, protocolId(spec, sessions.netuid), options), clock, spec)
}

/** Opens a stream, runs one exchange on it and ends it, whatever happens. Once the answer is here it is what counts. */
export async function call<T>(
  components: PeerComponents,
  spec: ProtocolSpec,
  peer: KnownPeer,
  options: AbortOptions,
  exchange: (frames: FrameStream) => Promise<T>,
): Promise<T> {
  const frames = await openFrames(components, spec, peer, options)
  let answer: T
  try {
    answer = await exchange(frames)
  } catch (error) {
    frames.abort(error)
    throw error
  }
  // Not waited for: a peer that is slow to end has answered all the same.
  void frames.finish()
  return answer
}

/** Longest pause that is waited for here: one who is to wait longer should know, and may have others to ask. */
const BUSY_PAUSE_MAX_MS = 5_000
const BUSY_RETRIES_MAX = 4

/** As `call`, again after the pause that a busy peer asks for. The last refusal stands, with its `retryAfterMs`. */
export async function callPatiently<T>(
  components: PeerComponents,
  spec: ProtocolSpec,
  peer: KnownPeer,
  options: AbortOptions,
  exchange: (frames: FrameStream) => Promise<T>,
): Promise<T> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await call(components, spec, peer, options, exchange)
    } catch (refusal) {
      const pauseMs = busyMs(refusal)
      if (pauseMs === undefined || pauseMs > BUSY_PAUSE_MAX_MS || attempt >= BUSY_RETRIES_MAX) throw refusal
      await components.clock.sleep(pauseMs, options).catch((reason: unknown) => {
        // A deadline that ends the wait says less than what we waited for; the caller's own abort is its own.
        throw isSubnetError(reason, 'TIMEOUT') ? refusal : reason
      })
    }
  }
}

/** Serves a protocol to sessions of these roles: a failure is told to the peer, then logged by its kind. */
export function serve(
  components: PeerComponents,
  spec: ProtocolSpec,
  roles: readonly Role[],
  exchange: (frames: FrameStream, session: Session) => Promise<void>,
): void {
  const { sessions, clock } = components
  const limits = {
    id: protocolId(spec, sessions.netuid),
    inboundStreamsMax: spec.streamsMax,
    outboundStreamsMax: spec.streamsMax,
    opens: spec.opens,
  }
  sessions.handle(limits, roles, async (duplex, session) => {
    const frames = new FrameStream(duplex, clock, spec)
    await serveFrames(frames, () => exchange(frames, session))
  })
}
