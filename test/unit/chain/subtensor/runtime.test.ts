import assert from 'node:assert/strict'
import { isSubnetError } from '../../../../src/base/errors.js'
import { Runtime } from '../../../../src/chain/subtensor/runtime.js'
import { cryptoReady } from '../../../../src/crypto/keys.js'
import {
  metadataBytes,
  metadataWithout,
  SPEC_VERSION,
  secondEncoder,
} from '../../../kit/subtensor-metadata.js'
import { hex, unhex } from '../../../kit/vectors.js'

/** The well-known development account //Alice. */
const ALICE = '5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY'
const ALICE_KEY = 'd43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d'
const VERSION = { specVersion: SPEC_VERSION, transactionVersion: 1 }

/** Pallet index, call index, then the arguments in SCALE, little-endian. */
const CALLS: readonly (readonly [
  pallet: string,
  name: string,
  args: object,
  hex: string,
  decoded: string,
])[] = [
  [
    'SubtensorModule',
    'set_weights',
    { netuid: 7, dests: [0, 1], weights: [1, 65_535], version_key: 5n },
    '0700' + '0700' + '0800000100' + '080100ffff' + '0500000000000000',
    'subtensorModule.setWeights',
  ],
  [
    'SubtensorModule',
    'commit_weights',
    { netuid: 7, commit_hash: `0x${'ab'.repeat(32)}` },
    `0760${'0700'}${'ab'.repeat(32)}`,
    'subtensorModule.commitWeights',
  ],
  [
    'SubtensorModule',
    'reveal_weights',
    { netuid: 7, uids: [0], values: [1], salt: [2], version_key: 0n },
    '0761' + '0700' + '040000' + '040100' + '040200' + '0000000000000000',
    'subtensorModule.revealWeights',
  ],
  [
    'SubtensorModule',
    'serve_axon',
    {
      netuid: 7,
      version: 1,
      ip: 0x0a010203n,
      port: 8091,
      ip_type: 4,
      protocol: 4,
      placeholder1: 0,
      placeholder2: 0,
    },
    '0704' + '0700' + '01000000' + '0302010a000000000000000000000000' + '9b1f' + '04040000',
    'subtensorModule.serveAxon',
  ],
  [
    'SubtensorModule',
    'burned_register',
    { netuid: 7, hotkey: ALICE },
    `0707${'0700'}${ALICE_KEY}`,
    'subtensorModule.burnedRegister',
  ],
  [
    'SubtensorModule',
    'register_network',
    { hotkey: ALICE },
    `073b${ALICE_KEY}`,
    'subtensorModule.registerNetwork',
  ],
  ['SubtensorModule', 'start_call', { netuid: 7 }, '075c0700', 'subtensorModule.startCall'],
  [
    'SubtensorModule',
    'add_stake',
    { hotkey: ALICE, netuid: 7, amount_staked: 2n ** 60n },
    `0702${ALICE_KEY}0700${'0000000000000010'}`,
    'subtensorModule.addStake',
  ],
  [
    'SubtensorModule',
    'set_subnet_identity',
    {
      netuid: 7,
      subnet_name: '0x41',
      github_repo: '0x',
      subnet_contact: '0x',
      subnet_url: '0x',
      discord: '0x',
      description: '0xc3bc',
      logo_url: '0x',
      additional: '0x',
    },
    '074e' + '0700' + '0441' + '00' + '00' + '00' + '00' + '08c3bc' + '00' + '00',
    'subtensorModule.setSubnetIdentity',
  ],
  // One field; Raw3 is variant 4 of `Data`, after None and Raw0 to Raw2.
  [
    'Commitments',
    'set_commitment',
    { netuid: 7, info: { fields: [{ Raw3: '0x616263' }] } },
    '1200' + '0700' + '04' + '04616263',
    'commitments.setCommitment',
  ],
  [
    'AdminUtils',
    'sudo_set_kappa',
    { netuid: 7, kappa: 32_767 },
    '1310' + '0700' + 'ff7f',
    'adminUtils.sudoSetKappa',
  ],
  [
    'AdminUtils',
    'sudo_set_alpha_values',
    { netuid: 7, alpha_low: 1, alpha_high: 2 },
    '1333' + '0700' + '0100' + '0200',
    'adminUtils.sudoSetAlphaValues',
  ],
]

const KEYS: readonly (readonly [pallet: string, item: string, args: readonly unknown[], hex: string])[] = [
  [
    'System',
    'Account',
    [ALICE],
    `26aa394eea5630e07c48ae0c9558cef7b99d880ec681799c0cf30e8886371da9de1e86a9a8c739864cf3cc5ec2bea59f${ALICE_KEY}`,
  ],
  ['Timestamp', 'Now', [], 'f0c365c3cf59d671eb72da0e7a4113c49f1f0515f462cdcf84e0f1d6045dfcbb'],
  ['SubtensorModule', 'Tempo', [7], '658faa385070e074c85bf6b568cf05557641384bb339f3758acddfd7053d33170700'],
  [
    'SubtensorModule',
    'Uids',
    [7, ALICE],
    `658faa385070e074c85bf6b568cf0555aab1b4e78e1ea8305462ee53b3686dc80700de1e86a9a8c739864cf3cc5ec2bea59f${ALICE_KEY}`,
  ],
  [
    'SubtensorModule',
    'WeightCommits',
    [7, ALICE],
    `658faa385070e074c85bf6b568cf05559f14c8e879f1adfb03db481d61f6798cbc57c078260bbd3c0700518366b5b1bc7c99${ALICE_KEY}`,
  ],
  [
    'Commitments',
    'CommitmentOf',
    [7, ALICE],
    `ca407206ec1ab726b2636c4b145ac287419a60ae8b01e6dcaebd7317e43c69bf0700518366b5b1bc7c99${ALICE_KEY}`,
  ],
]

describe('Runtime, with the metadata of spec 381', () => {
  let runtime: Runtime

  before(async () => {
    await cryptoReady()
    runtime = await Runtime.load(metadataBytes(), VERSION)
  })

  for (const [pallet, name, args, expected, decoded] of CALLS) {
    it(`encodes ${pallet}.${name}, and @polkadot/types decodes it as that`, () => {
      const call = { pallet, name, args: args as Record<string, unknown> }
      assert.equal(runtime.transaction(call).method.toHex(), `0x${expected}`)
      const { section, method } = secondEncoder().types.createType('Call', `0x${expected}`) as unknown as {
        section: string
        method: string
      }
      assert.equal(`${section}.${method}`, decoded)
    })
  }

  for (const [pallet, item, args, expected] of KEYS) {
    it(`makes the key of ${pallet}.${item}, as @polkadot/types does, and reads it back`, () => {
      const storage = runtime.storage(pallet, item)
      assert.equal(storage?.key(args), `0x${expected}`)
      const camel = (text: string) => text.charAt(0).toLowerCase() + text.slice(1)
      assert.equal(secondEncoder().key(camel(pallet), camel(item), ...args), `0x${expected}`)
      assert.deepEqual(storage?.decodeKey(`0x${expected}`), args)
    })
  }

  it('asks the runtime’s own functions, and knows which there are', () => {
    const found = runtime.api('SubnetInfoRuntimeApi', 'get_metagraph')
    assert.equal(found?.rpcName, 'SubnetInfoRuntimeApi_get_metagraph')
    assert.equal(hex(found?.encode([7]) ?? new Uint8Array()), '0700')
    assert.equal(found?.decode(unhex('00')), null)
    assert.equal(runtime.api('SubnetInfoRuntimeApi', 'get_nothing'), undefined)
  })

  it('decodes values, large ones in hex, unset ones to their default', () => {
    const burn = runtime.storage('SubtensorModule', 'Burn')
    assert.equal(burn?.decode(unhex('0000000000000010')), '0x1000000000000000')
    assert.equal(burn?.decode(undefined), 100_000_000)
    assert.equal(runtime.storage('SubtensorModule', 'FirstEmissionBlockNumber')?.decode(undefined), null)
    assert.equal(runtime.storage('SubtensorModule', 'NeverWas'), undefined)
    assert.equal(runtime.constant('Aura', 'SlotDuration'), 250)
  })

  it('refuses a call it has not, naming it and the version', () => {
    const call = { pallet: 'SubtensorModule', name: 'register_limit', args: {} }
    assert.equal(runtime.callFields('SubtensorModule', 'register_limit'), undefined)
    assert.throws(
      () => runtime.transaction(call),
      (error) =>
        isSubnetError(error, 'CHAIN_REFUSED') &&
        error.data.kind === 'precondition' &&
        error.data.reason === 'CallNotFound' &&
        /spec 381.*SubtensorModule\.register_limit/.test(error.message),
    )
  })

  it('refuses a call whose arguments have changed, rather than guess', () => {
    for (const args of [{}, { netuid: 1, more: 2 }, { netiud: 1 }]) {
      const call = { pallet: 'SubtensorModule', name: 'start_call', args }
      assert.throws(
        () => runtime.transaction(call),
        (error) => isSubnetError(error, 'CHAIN_REFUSED') && error.data.reason === 'CallChanged',
      )
    }
  })

  it('refuses values that do not fit, as INVALID', () => {
    for (const args of [{ netuid: 65_536 }, { netuid: -1 }, { netuid: 'seven' }]) {
      const call = { pallet: 'SubtensorModule', name: 'start_call', args }
      assert.throws(
        () => runtime.transaction(call),
        (error) => isSubnetError(error, 'INVALID'),
        `${args.netuid}`,
      )
    }
  })

  it('names a module’s error in the events of a block', () => {
    // One event: extrinsic 2, System.ExtrinsicFailed, SubtensorModule error 0, dispatch info, no topics.
    const bytes = unhex(`04${'0002000000'}${'0001'}${'030700000000'}${'00000000'}${'00'}`)
    const [event] = runtime.decodeEvents(bytes)
    assert.deepEqual([event?.extrinsic, event?.pallet, event?.name], [2, 'system', 'ExtrinsicFailed'])
    assert.equal(event?.fields.dispatchError, 'RootNetworkDoesNotExist')
  })

  it('reads as absent what a later runtime has dropped', async () => {
    const later = await Runtime.load(metadataWithout('Rank', 'set_weights'), VERSION)
    assert.equal(later.storage('SubtensorModule', 'Rank'), undefined)
    assert.equal(later.callFields('SubtensorModule', 'set_weights'), undefined)
    assert.deepEqual(later.callFields('SubtensorModule', 'start_call'), ['netuid'])
  })
})
