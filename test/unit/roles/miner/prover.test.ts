import assert from 'node:assert/strict'
import type { Challenge, Sample } from '../../../../protocols/challenge/messages.js'
import { judgeAnswer } from '../../../../protocols/challenge/proof.js'
import { isSubnetError, SubnetError } from '../../../../src/base/errors.js'
import { silentLogger } from '../../../../src/base/log.js'
import { cryptoReady } from '../../../../src/crypto/keys.js'
import { LEAF_BYTES } from '../../../../src/crypto/merkle.js'
import { Prover } from '../../../../src/roles/miner/prover.js'
import type { NewChunk, Shard } from '../../../../src/shard/shard.js'
import { testHotkey } from '../../../kit/chain-keys.js'
import { MemoryPartition } from '../../../kit/memory-partition.js'
import { testChunk, testId } from '../../../kit/test-chunk.js'
import { testDisk } from '../../../kit/test-disk.js'
import { TEST_DOMAIN } from '../../../kit/test-subnet.js'

/** Three leaves, the last of 100 bytes; and one leaf. */
const LONG = testChunk(1, 2 * LEAF_BYTES + 100)
const SHORT = testChunk(2, 10)

async function setUp() {
  const partition = new MemoryPartition()
  await (await partition.open('alice')).put(LONG)
  await (await partition.open('bob')).put(SHORT)
  const { signer } = testHotkey(1)
  const errors: string[] = []
  const logger = { ...silentLogger, error: (_: unknown, text: string) => errors.push(text) }
  const disk = testDisk(logger)
  const { health, inspector } = disk
  const prover = new Prover({ shards: partition, signer, health, inspector, logger }, TEST_DOMAIN)
  return { partition, prover, signer, errors, disk }
}

function challenge(...samples: readonly [NewChunk, number][]): Challenge {
  return {
    type: 'challenge',
    nonce: testId(16, 1),
    samples: samples.map(([chunk, leaf]): Sample => [chunk.digest, leaf]),
  }
}

describe('Prover', () => {
  before(cryptoReady)

  it('proves every leaf it holds, whichever shard it is in, in the order of the question', async () => {
    const { prover, signer } = await setUp()
    const chunks = [SHORT, LONG, LONG, LONG]
    const question = challenge([SHORT, 0], [LONG, 2], [LONG, 0], [LONG, 1])
    const verdicts = judgeAnswer(
      TEST_DOMAIN,
      signer.publicKey,
      question,
      chunks,
      await prover.prove(question),
    )
    assert.deepEqual(verdicts, ['proven', 'proven', 'proven', 'proven'])
  })

  it('says honestly what is lost: a chunk it has not, a leaf beyond the end; the others are proven', async () => {
    const { prover, signer, errors } = await setUp()
    const gone = testChunk(3, 10)
    const question = challenge([gone, 0], [LONG, 0], [LONG, 3], [SHORT, 255])
    const chunks = [gone, LONG, LONG, SHORT]
    const verdicts = judgeAnswer(
      TEST_DOMAIN,
      signer.publicKey,
      question,
      chunks,
      await prover.prove(question),
    )
    assert.deepEqual(verdicts, ['lost', 'proven', 'lost', 'lost'])
    assert.deepEqual(errors, [], 'nothing of that is for the operator to act on')
  })

  for (const [title, read] of [
    ['cannot read', () => Promise.reject(new SubnetError('DISK', 'EIO'))],
    ['finds changed', async (_: unknown, __: number, lengthBytes: number) => new Uint8Array(lengthBytes)],
  ] as const) {
    it(`says lost of what it ${title}, lists it as lost and tells the operator`, async () => {
      const { partition, prover, errors } = await setUp()
      const shard = partition.get('alice') as Shard
      shard.read = read
      const question = challenge([LONG, 0], [SHORT, 0])
      for (const _ of [1, 2]) {
        const { samples } = await prover.prove(question)
        assert.deepEqual(
          samples.map(({ type }) => type),
          ['lost', 'leaf'],
        )
      }
      assert.equal(errors.length, 1)
      assert.deepEqual((await shard.losses(0, 9)).losses, [{ number: 1, digest: LONG.digest }])
      assert.equal(await shard.describe(LONG.digest), undefined)
    })
  }

  it('proves what it can read when it tries again', async () => {
    const { partition, prover } = await setUp()
    const shard = partition.get('alice') as Shard
    const read = shard.read.bind(shard)
    shard.read = async () => {
      shard.read = read
      throw new SubnetError('DISK', 'EIO')
    }
    assert.equal((await prover.prove(challenge([LONG, 0]))).samples[0]?.type, 'leaf')
    assert.equal(shard.usage().lostChunks, 0)
  })

  it('proves nothing while the disk does not work, and calls nothing lost for that', async () => {
    const { partition, prover, disk } = await setUp()
    const shard = partition.get('alice') as Shard
    shard.read = () => Promise.reject(new SubnetError('DISK', 'EIO'))
    disk.works = false
    await assert.rejects(prover.prove(challenge([LONG, 0])), (error) => isSubnetError(error, 'UNAVAILABLE'))
    assert.equal(shard.usage().lostChunks, 0)
    await assert.rejects(prover.prove(challenge([SHORT, 0])), (error) => isSubnetError(error, 'UNAVAILABLE'))
  })

  it('goes on proving while the disk is only not written, but calls nothing lost that it cannot read', async () => {
    const { partition, prover, disk } = await setUp()
    const shard = partition.get('alice') as Shard
    shard.read = () => Promise.reject(new SubnetError('DISK', 'EIO'))
    disk.works = false
    disk.refuses = 'writes'
    await assert.rejects(prover.prove(challenge([LONG, 0])), (error) => isSubnetError(error, 'UNAVAILABLE'))
    assert.equal(shard.usage().lostChunks, 0)
    assert.equal((await prover.prove(challenge([SHORT, 0]))).samples[0]?.type, 'leaf')
  })

  it('signs the answer for this question alone', async () => {
    const { prover, signer } = await setUp()
    const answer = await prover.prove(challenge([LONG, 0]))
    const again: Challenge = { ...challenge([LONG, 0]), nonce: testId(16, 2) }
    assert.throws(() => judgeAnswer(TEST_DOMAIN, signer.publicKey, again, [LONG], answer))
  })
})
