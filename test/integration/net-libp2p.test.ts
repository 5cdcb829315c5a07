/** The libp2p adapter as a `Net`, over loopback TCP. */
import { netConformance } from '../conformance/net.js'
import { LOOPBACK, netNode } from '../kit/net-node.js'

let nodes = 0

netConformance({
  name: 'libp2p',
  create({ listen = true, ...settings } = {}) {
    nodes += 1
    return netNode(`conformance ${nodes}`, { ...settings, listen: listen ? [LOOPBACK] : [] })
  },
})
