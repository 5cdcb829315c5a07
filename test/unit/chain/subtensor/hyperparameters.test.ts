import assert from 'node:assert/strict'
import type { Hyperparameters, OwnerParameter } from '../../../../src/chain/chain.js'
import { hyperparameterCall, rateLimitOf } from '../../../../src/chain/subtensor/hyperparameters.js'
import { Runtime } from '../../../../src/chain/subtensor/runtime.js'
import { metadataBytes } from '../../../kit/subtensor-metadata.js'

const NOW = { alphaLow: 1, alphaHigh: 2 } as Hyperparameters

/** SCALE after netuid 7: `AdminUtils` is pallet 0x13, then the call's index. */
const VALUES: Readonly<Record<Exclude<OwnerParameter, 'maxWeightsLimit'>, readonly [unknown, string]>> = {
  kappa: [3, '13100700' + '0300'],
  immunityPeriodBlocks: [3, '130d0700' + '0300'],
  minAllowedWeights: [3, '130e0700' + '0300'],
  activityCutoffBlocks: [3, '13120700' + '0300'],
  weightsVersion: [3n, '13060700' + '0300000000000000'],
  weightsRateLimitBlocks: [3, '13070700' + '0300000000000000'],
  commitRevealEnabled: [true, '13310700' + '01'],
  revealPeriodEpochs: [3, '13390700' + '0300000000000000'],
  yuma3Enabled: [true, '13450700' + '01'],
  liquidAlphaEnabled: [true, '13320700' + '01'],
  alphaLow: [3, '13330700' + '0300' + '0200'],
  alphaHigh: [3, '13330700' + '0100' + '0300'],
  alphaSigmoidSteepness: [3, '13440700' + '0300'],
  bondsMovingAverage: [3, '131a0700' + '0300000000000000'],
  bondsPenalty: [3, '133c0700' + '0300'],
  maxAllowedValidators: [3, '13190700' + '0300'],
  registrationAllowed: [true, '13130700' + '01'],
  minBurnRao: [3n, '13160700' + '0300000000000000'],
  maxBurnRao: [3n, '13170700' + '0300000000000000'],
}

describe('hyperparameters as calls of spec 381', () => {
  let runtime: Runtime

  before(async () => {
    runtime = await Runtime.load(metadataBytes(), { specVersion: 381, transactionVersion: 1 })
  })

  for (const [name, [value, expected]] of Object.entries(VALUES)) {
    it(`sets ${name}`, () => {
      const call = hyperparameterCall(7, name as OwnerParameter, value as number, NOW)
      assert.equal(runtime.transaction(call).method.toHex().slice(2), expected)
    })
  }

  it('knows the rate limit of every setting that the runtime limits by its own', () => {
    const storage = runtime.storage('SubtensorModule', 'LastRateLimitedBlock')
    for (const name of Object.keys(VALUES) as OwnerParameter[]) {
      const { parameter } = rateLimitOf(name)
      // Throws for a name that the runtime's enum has not.
      if (parameter !== undefined) assert.ok(storage?.key([{ OwnerHyperparamUpdate: [7, parameter] }]))
    }
    assert.deepEqual(rateLimitOf('kappa'), { parameter: 'Kappa' })
    assert.deepEqual(rateLimitOf('weightsVersion'), {})
  })
})
