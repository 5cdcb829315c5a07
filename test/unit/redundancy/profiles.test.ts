import assert from 'node:assert/strict'
import { InvariantError } from '../../../src/base/errors.js'
import {
  durableQuorum,
  groupCap,
  groupsNeeded,
  isProfileName,
  manifestCopies,
  PROFILE_NAMES,
  PROFILES,
  shrinkProfile,
} from '../../../src/redundancy/profiles.js'

describe('profiles', () => {
  it('are the six of the design, with the numbers that follow from them', () => {
    const table = PROFILE_NAMES.map((name) => {
      const p = PROFILES[name]
      return [name, p.k, p.n, p.repairAt, p.urgentAt, durableQuorum(p), groupCap(p), groupsNeeded(p)]
    })
    assert.deepEqual(table, [
      ['single', 1, 1, undefined, undefined, 1, 1, 1],
      ['copies', 1, 4, 3, undefined, 4, 1, 4],
      ['small', 4, 10, 8, undefined, 9, 2, 5],
      ['standard', 8, 20, 15, 11, 18, 4, 5],
      ['high', 10, 30, 20, 14, 25, 6, 5],
      ['large', 16, 40, 30, 20, 35, 8, 5],
    ])
  })

  it('keep every margin over k when a segment shrinks', () => {
    for (const name of PROFILE_NAMES) {
      const profile = PROFILES[name]
      for (let k = 1; k <= profile.k; k++) {
        const shrunk = shrinkProfile(profile, k)
        assert.equal(shrunk.n - shrunk.k, profile.n - profile.k)
        assert.equal(manifestCopies(shrunk), manifestCopies(profile))
        assert.equal(groupCap(shrunk), groupCap(profile))
        if (profile.repairAt === undefined) {
          assert.equal(shrunk.repairAt, undefined)
        } else {
          assert.equal((shrunk.repairAt as number) - k, profile.repairAt - profile.k)
          assert.ok(durableQuorum(shrunk) > (shrunk.repairAt as number), 'durable means above repair')
          assert.ok(durableQuorum(shrunk) <= shrunk.n)
        }
      }
    }
  })

  it('survive the loss of any three groups at the cap, where there is redundancy for it', () => {
    for (const name of PROFILE_NAMES.filter((name) => name !== 'single')) {
      const { k, n } = PROFILES[name]
      assert.ok(n - 3 * groupCap(PROFILES[name]) >= k, name)
    }
  })

  it('have at least as many groups at full strength as they need', () => {
    for (const name of PROFILE_NAMES) {
      assert.ok(PROFILES[name].fullStrengthGroups >= groupsNeeded(PROFILES[name]))
    }
  })

  it('do not shrink to nothing, nor grow', () => {
    assert.throws(() => shrinkProfile(PROFILES.small, 0), InvariantError)
    assert.throws(() => shrinkProfile(PROFILES.small, 5), InvariantError)
  })

  it('are known by their names only', () => {
    assert.equal(isProfileName('small'), true)
    for (const name of ['', 'Small', 'toString', '__proto__']) assert.equal(isProfileName(name), false)
  })
})
