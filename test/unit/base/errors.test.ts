import assert from 'node:assert/strict'
import {
  ERROR_CODES,
  type ErrorCode,
  InvariantError,
  invariant,
  isSubnetError,
  SubnetError,
  toSubnetError,
} from '../../../src/base/errors.js'
import { EXIT_FAILURE, exitCodeOf } from '../../../src/cli/exit-codes.js'

describe('SubnetError', () => {
  it('is retryable as its code says, unless it is told otherwise', () => {
    assert.equal(new SubnetError('BUSY', 'later').retryable, true)
    assert.equal(new SubnetError('REFUSED', 'no').retryable, false)
    assert.equal(new SubnetError('REFUSED', 'not yet', { retryable: true }).retryable, true)
  })

  it('keeps its cause and data', () => {
    const cause = new Error('disk')
    const error = new SubnetError('DISK', 'write failed', { cause, data: { path: '/x' } })
    assert.equal(error.cause, cause)
    assert.deepEqual(error.data, { path: '/x' })
  })

  it('is recognised by class and code', () => {
    const error: unknown = new SubnetError('TIMEOUT', 'slow')
    assert.deepEqual(
      [isSubnetError(error), isSubnetError(error, 'TIMEOUT'), isSubnetError(error, 'BUSY')],
      [true, true, false],
    )
    assert.equal(isSubnetError(new Error('TIMEOUT')), false)
  })
})

describe('toSubnetError', () => {
  it('leaves one of ours as it is and wraps anything else with its cause', () => {
    const ours = new SubnetError('BUSY', 'later')
    assert.equal(toSubnetError(ours, 'DISK'), ours)
    const wrapped = toSubnetError('text', 'DISK', 'writing')
    assert.deepEqual([wrapped.code, wrapped.message, wrapped.cause], ['DISK', 'writing: text', 'text'])
  })
})

describe('invariant', () => {
  it('throws what no input can cause', () => {
    invariant(true, 'fine')
    assert.throws(() => invariant(false, 'broken'), InvariantError)
  })
})

describe('exit codes', () => {
  it('are frozen, one for every error code', () => {
    const codes = Object.keys(ERROR_CODES) as ErrorCode[]
    const exits = Object.fromEntries(codes.map((code) => [code, exitCodeOf(new SubnetError(code, 'x'))]))
    assert.deepEqual(exits, {
      INVALID: 65,
      UNAUTHENTICATED: 77,
      BAD_SIGNATURE: 65,
      REFUSED: 77,
      NO_SPACE: 75,
      BUSY: 75,
      NOT_FOUND: 66,
      MISMATCH: 65,
      TIMEOUT: 75,
      DISCONNECTED: 69,
      TOO_FEW_PEERS: 69,
      NOT_DURABLE: 69,
      UNAVAILABLE: 75,
      UNRECOVERABLE: 69,
      CONFIG: 78,
      DATA_DIR: 78,
      DISK: 74,
      CHAIN_UNAVAILABLE: 69,
      CHAIN_REFUSED: 77,
      STOPPED: 130,
      INTERNAL: 1,
    })
    assert.equal(exitCodeOf(new Error('unexpected')), EXIT_FAILURE)
  })
})
