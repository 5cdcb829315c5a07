import assert from 'node:assert/strict'
import { TypeRegistry } from '@polkadot/types'
import { blake2AsU8a } from '@polkadot/util-crypto/blake2'
import { isSubnetError } from '../../../src/base/errors.js'
import { weightsCommitHash } from '../../../src/chain/weights-commit.js'
import { cryptoReady } from '../../../src/crypto/keys.js'
import { testHotkey } from '../../kit/chain-keys.js'

describe('the hash of a weights commit', () => {
  before(() => cryptoReady())

  /** As polkadot-js encodes the tuple that the runtime hashes. */
  function reference(
    hotkey: string,
    netuid: number,
    uids: number[],
    values: number[],
    salt: number[],
    version: bigint,
  ) {
    const tuple = new TypeRegistry().createType('(AccountId, u16, Vec<u16>, Vec<u16>, Vec<u16>, u64)', [
      hotkey,
      netuid,
      uids,
      values,
      salt,
      version,
    ])
    return blake2AsU8a(tuple.toU8a(), 256)
  }

  it('is BLAKE2b-256 over the SCALE encoding, for lists of every length class', () => {
    const hotkey = testHotkey(1).address
    for (const length of [0, 1, 63, 64, 255, 16_384]) {
      const uids = Array.from({ length }, (_, i) => i)
      const values = uids.map((uid) => 65_535 - uid)
      const versionKey = 2n ** 64n - 1n - BigInt(length)
      const reveal = { uids, values, salt: [7, 65_535], versionKey }
      assert.deepEqual(
        weightsCommitHash({ hotkey, netuid: 300, reveal }),
        reference(hotkey, 300, uids, values, [7, 65_535], versionKey),
      )
    }
  })

  it('takes no number that does not fit', () => {
    const good = { uids: [0], values: [1], salt: [2], versionKey: 0n }
    const wrong = [
      { uids: [65_536] },
      { values: [-1] },
      { salt: [0.5] },
      { versionKey: 2n ** 64n },
      { versionKey: -1n },
    ]
    for (const fields of wrong) {
      const commitment = { hotkey: testHotkey(1).address, netuid: 1, reveal: { ...good, ...fields } }
      assert.throws(
        () => weightsCommitHash(commitment),
        (error) => isSubnetError(error, 'INVALID'),
      )
    }
  })
})
