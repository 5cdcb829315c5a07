import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { REFUSALS } from '../../../../src/chain/devchain/refusals.js'

/** The real runtime's metadata, shared outside this repository; names in it are plain text. */
const METADATA = process.env.SUBTENSOR_METADATA ?? '../shared/vectors/subtensor-metadata-v16-spec381.scale'
/** The node's RPC and pool say these; a runtime's metadata cannot know them. */
const OF_THE_NODE = ['UnknownBlock', 'ImmediatelyDropped']
/** `register_limit` came after spec 381. */
const OF_NEWER_RUNTIMES = ['RegistrationPriceLimitExceeded']

describe('devchain refusals', () => {
  it('have the names of the real runtime', function () {
    if (!existsSync(METADATA)) this.skip()
    const metadata = readFileSync(METADATA, 'latin1')
    for (const name of Object.keys(REFUSALS)) {
      if (![...OF_THE_NODE, ...OF_NEWER_RUNTIMES].includes(name)) assert.ok(metadata.includes(name), name)
    }
  })
})
