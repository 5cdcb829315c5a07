/** A peer that asks without end, over real TCP: it is told to wait and why, and another one does not notice. */
import assert from 'node:assert/strict'
import { askCapacity } from '../../protocols/capacity/client.js'
import { CAPACITY } from '../../protocols/capacity/messages.js'
import { systemClock } from '../../src/base/clock.js'
import { isSubnetError, type SubnetError } from '../../src/base/errors.js'
import { LocalNetwork } from '../kit/local-network.js'
import { readBack, sameBytes, testBytes } from '../kit/objects.js'

describe('a flooding peer', function () {
  this.timeout(60_000)

  it('is refused with the limit by name, while another client puts and gets at the same miners', async () => {
    await using network = await LocalNetwork.start({ miners: 4, validators: 1 })
    const [flooder, other] = [await network.client(), await network.client()]
    const miner = flooder.subnet.view.members().find(({ validatorPermit }) => !validatorPermit)
    assert.ok(miner?.endpoint)
    const peer = { ...miner.endpoint, hotkey: miner.publicKey }
    const { sessions } = flooder.subnet.network
    const refusals: SubnetError[] = []
    let done = false
    const flood = async () => {
      while (!done || refusals.length === 0) {
        await askCapacity({ sessions, clock: systemClock }, peer).catch((error: unknown) => {
          assert.ok(isSubnetError(error, 'BUSY'), String(error))
          refusals.push(error)
        })
      }
    }
    const flooding = Promise.all([flood(), flood()])
    const bytes = testBytes('flood', 3_000_000)
    for (let round = 0; round < 3; round += 1) {
      const { capability, weakestReceipts, fullReceipts } = await other.storage.put([bytes], {
        profile: 'copies',
      })
      assert.equal(weakestReceipts, fullReceipts)
      assert.ok(sameBytes(await readBack(other, capability), bytes))
    }
    await askCapacity({ sessions: other.subnet.network.sessions, clock: systemClock }, peer)
    done = true
    await flooding
    const { perSecond, burst } = CAPACITY.opens
    assert.match(
      refusals[0]?.message ?? '',
      new RegExp(`the limit is ${perSecond} a second, ${burst} at once`),
    )
    assert.ok(Number(refusals[0]?.data.retryAfterMs) > 0)
  })
})
