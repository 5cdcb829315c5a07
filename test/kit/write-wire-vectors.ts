/** Writes `test/vectors/wire.json`, after a change of the wire: `node .build/…/test/kit/write-wire-vectors.js`. */
import { writeFileSync } from 'node:fs'
import { cryptoReady } from '../../src/crypto/keys.js'
import { vectorsAsJson, wireVectors } from './wire-vectors.js'

await cryptoReady()
writeFileSync('test/vectors/wire.json', `${JSON.stringify(vectorsAsJson(wireVectors()), undefined, 2)}\n`)
