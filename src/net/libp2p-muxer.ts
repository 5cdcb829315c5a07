/**
 * Yamux with our limits and one more: yamux 8 collects a frame whole before it compares its length with the window, so
 * a peer could announce a frame of 4 GiB and have us hold it.
 */
import type { MessageStream, StreamMuxerFactory } from '@libp2p/interface'
import { yamux } from '@libp2p/yamux'
import { SubnetError } from '../base/errors.js'
import { NET_LIMITS } from './libp2p-limits.js'

/** No honest frame is longer than the window it must fit in. */
const FRAME_MAX_BYTES = NET_LIMITS.windowMaxBytes + 12

export function limitedYamux(): () => StreamMuxerFactory {
  const factory = yamux({
    enableKeepAlive: true,
    keepAliveInterval: NET_LIMITS.keepAliveMs,
    maxInboundStreams: NET_LIMITS.muxerStreamsMax,
    maxOutboundStreams: NET_LIMITS.muxerStreamsMax,
    maxEarlyStreams: NET_LIMITS.earlyStreamsMax,
    streamOptions: {
      initialStreamWindowSize: NET_LIMITS.windowInitialBytes,
      maxStreamWindowSize: NET_LIMITS.windowMaxBytes,
      maxReadBufferLength: NET_LIMITS.readBufferMaxBytes,
      maxWriteBufferLength: NET_LIMITS.writeBufferMaxBytes,
    },
  })()
  return () => ({
    protocol: factory.protocol,
    createStreamMuxer(connection: MessageStream) {
      const muxer = factory.createStreamMuxer(connection)
      // After yamux's own listener: what is left in its decoder then is one unfinished frame.
      connection.addEventListener('message', () => {
        const { decoder } = muxer as unknown as { decoder: { buffer: { byteLength: number } } }
        if (decoder.buffer.byteLength <= FRAME_MAX_BYTES) return
        const reason = new SubnetError('INVALID', `a yamux frame longer than ${FRAME_MAX_BYTES} bytes`)
        muxer.abort(reason)
        connection.abort(reason)
      })
      return muxer
    },
  })
}
