/**
 * Every limit we set in libp2p, named with its unit and its reason. libp2p's own add up to about 2.3 GiB of unread
 * input for one protocol, and refuse the sixth peer a second behind one address. Gossip's are in `libp2p-gossip.ts`,
 * stored records' in `libp2p-datastore.ts`, a stream's own buffers in `libp2p-duplex.ts`.
 */
import { KIB, MIB } from '../base/units.js'
import { PROVIDER_RECORD_MS } from './net.js'

export const NET_LIMITS = {
  /** Handshakes in progress; each costs a few ms of CPU and nothing is proven yet. */
  inboundPendingMax: 64,
  /** Sockets the kernel may hold for us beyond that. */
  listenBacklog: 256,
  inboundUpgradeMs: 10_000,
  /** Addresses whose connections are counted. */
  arrivalsMax: 4_096,
  /** Times the rate up to which one address is told that it is too fast; beyond, it is cut off without a word. */
  toldFactor: 4,
  /** Dials at once; a dial costs 12 ms of CPU, the DHT starts many. */
  dialsParallelMax: 16,
  dialQueueMax: 512,
  dialAddressesMax: 8,
  dialAddressMs: 5_000,
  /** A peer with several dead addresses; the whole of `connect`. */
  dialMs: 10_000,
  /** Agreeing on a stream's protocol, either side. */
  negotiationMs: 10_000,
  connectionCloseMs: 1_000,
  /** DHT neighbours that went away are dialled again this often; everyone else is the roles' business. */
  reconnectRetriesMax: 2,
  /** Streams one connection may have open to us over all protocols; the next is reset. */
  muxerStreamsMax: 256,
  /** Streams opened by the peer before the connection is ready for them. */
  earlyStreamsMax: 10,
  /** yamux begins with its specified window and grows it while the reader keeps up. */
  windowInitialBytes: 256 * KIB,
  /** In flight to a paused reader. Must stay ≤ `readBufferMaxBytes`, or pausing gets the stream reset. */
  windowMaxBytes: 1 * MIB,
  /** Unread input of a stream inside libp2p; more resets it. Above the window, for streams whose handler is being set up. */
  readBufferMaxBytes: 4 * MIB,
  /** Unsent output of a stream inside libp2p; more resets it. `Libp2pDuplex` stays at 0.5 MiB. */
  writeBufferMaxBytes: 4 * MIB,
  /** Keeps idle sockets from their timeout and measures the round trip that lets windows grow. */
  keepAliveMs: 30_000,
  /** A socket without a byte either way. Four missed keepalives. */
  socketIdleMs: 120_000,
  /** Finds peers that died without a word. libp2p's 10 s would open 30 streams a second among 18 local nodes. */
  monitorPingMs: 30_000,
  /** Below 10 s a busy two-core machine fails pings that would have come. */
  monitorTimeoutMinMs: 10_000,
  monitorTimeoutMaxMs: 30_000,
  /** Monitor and DHT ping the same peer at once: libp2p's one outbound stream would have the monitor cut the connection. */
  pingStreamsMax: 8,
  /** One ping, and how long a peer may keep pinging on one stream. */
  pingMs: 10_000,
  identifyMs: 5_000,
  identifyMaxBytes: 8 * KIB,
  identifyStreamsMax: 2,
  /** Peers per bucket, records per key, closest peers asked (Kademlia's k). */
  dhtBucketPeers: 20,
  /** Peers asked at once in a query; half of libp2p's default is kinder to two cores. */
  dhtParallelMax: 5,
  dhtInboundStreamsMax: 32,
  dhtOutboundStreamsMax: 32,
  dhtMessageMs: 10_000,
  /** Looks for its own neighbourhood: once soon after the start, then rarely. */
  dhtSelfQueryInitialMs: 1_000,
  dhtSelfQueryMs: 300_000,
  /** Sweeps expired provider records. */
  dhtSweepMs: 3_600_000,
  /** Peers are remembered longer than the records that name them: kad-dht fails a whole lookup over one it forgot. */
  peerMemoryMs: 2 * PROVIDER_RECORD_MS,
} as const
