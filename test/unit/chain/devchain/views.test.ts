import assert from 'node:assert/strict'
import type { DevchainNeuron, Subnet } from '../../../../src/chain/devchain/subnet.js'
import { recordsOf } from '../../../../src/chain/devchain/views.js'
import { encodeEndpoint } from '../../../../src/chain/record.js'

describe('recordsOf', () => {
  it('gives the record of each neuron, decoded once however many blocks hand its bytes on', () => {
    const record = {
      peerId: '12D3KooWLkb8AwaYhPTesFNysYNHggYYmK92mkmGGXfSfYXm2EXn',
      address: '/ip4/127.0.0.1/tcp/4001',
    }
    const neuron = { hotkey: 'a', endpoint: encodeEndpoint(record) } as DevchainNeuron
    const silent = { hotkey: 'b', endpoint: null } as DevchainNeuron
    const block = () => recordsOf({ neurons: [{ ...neuron }, silent] } as unknown as Subnet)
    const first = block()
    assert.deepEqual([...first], [['a', record]])
    assert.equal(block().get('a'), first.get('a'), 'the same object')
    assert.notEqual(
      recordsOf({ neurons: [{ ...neuron, endpoint: encodeEndpoint(record) }] } as unknown as Subnet).get('a'),
      first.get('a'),
    )
  })
})
