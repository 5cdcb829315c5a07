/**
 * A subnet in a mock node's storage, and the same subnet as the runtime's `get_metagraph` would answer it: both from one
 * list of neurons. Also what the few calls do that tests look at the effect of.
 */

import { blake2AsU8a } from '@polkadot/util-crypto/blake2'
import { type Clock, systemClock } from '../../src/base/clock.js'
import { silentLogger } from '../../src/base/log.js'
import { seededRandom } from '../../src/base/random.js'
import type { Axon } from '../../src/chain/chain.js'
import { SubtensorChain, type SubtensorInit } from '../../src/chain/subtensor/adapter.js'
import { ipNumber } from '../../src/chain/subtensor/axon.js'
import { Runtime } from '../../src/chain/subtensor/runtime.js'
import { type TestKey, testColdkey, testHotkey } from './chain-keys.js'
import type { MockSubtensor } from './mock-subtensor.js'
import { type MockCall, putInto, type Storage } from './mock-transaction.js'
import { secondEncoder } from './subtensor-metadata.js'
import { hex } from './vectors.js'

export const NETUID = 7
export const TEMPO = 50

export interface MockNeuron {
  readonly hotkey: TestKey
  readonly coldkey: TestKey
  /** Rao; its own alpha. */
  readonly stake: number
  readonly permit: boolean
  readonly axon?: Axon
}

/** A validator with an address and a miner without. Wait for `cryptoReady` first. */
export function testNeurons(): readonly MockNeuron[] {
  const axon = { ip: '10.1.2.3', port: 8091 }
  return [
    { hotkey: testHotkey(1), coldkey: testColdkey(1), stake: 5_000, permit: true, axon },
    { hotkey: testHotkey(2), coldkey: testColdkey(2), stake: 0, permit: false },
  ]
}

/** By column; the scores are told apart by uid. */
function columns(neurons: readonly MockNeuron[]) {
  return {
    active: neurons.map(({ permit }) => permit),
    validatorPermit: neurons.map(({ permit }) => permit),
    lastUpdate: neurons.map((_, uid) => 3 + uid),
    emission: neurons.map((_, uid) => 10 ** 12 + uid),
    dividends: neurons.map((_, uid) => 100 + uid),
    incentive: neurons.map((_, uid) => 200 + uid),
    consensus: neurons.map((_, uid) => 300 + uid),
    validatorTrust: neurons.map((_, uid) => 400 + uid),
  }
}

function axonInfo(axon: Axon | undefined) {
  if (axon === undefined) return { ip: 0, ipType: 0, port: 0, block: 0 }
  const { ip, ipType } = ipNumber(axon)
  return { ip: ip.toString(), ipType, port: axon.port, block: 4 }
}

/** Puts the subnet into the newest block, and answers for it. */
export function putSubnet(node: MockSubtensor, neurons: readonly MockNeuron[] = testNeurons()): void {
  const put = (item: string, keys: readonly unknown[], value: unknown) =>
    node.put('subtensorModule', item, keys, value)
  put('networksAdded', [NETUID], true)
  put('tempo', [NETUID], TEMPO)
  put('subnetworkN', [NETUID], neurons.length)
  put('subnetOwner', [NETUID], testColdkey(1).address)
  put('subnetOwnerHotkey', [NETUID], testHotkey(1).address)
  put('networkRegistrationAllowed', [NETUID], true)
  put('weightsSetRateLimit', [NETUID], 100)
  for (const [name, values] of Object.entries(columns(neurons))) put(name, [NETUID], values)
  for (const [uid, { hotkey, coldkey, stake, axon }] of neurons.entries()) {
    put('keys', [NETUID, uid], hotkey.address)
    put('uids', [NETUID, hotkey.address], uid)
    put('owner', [hotkey.address], coldkey.address)
    put('blockAtRegistration', [NETUID, uid], 1 + uid)
    put('totalHotkeyAlpha', [hotkey.address, NETUID], stake)
    if (axon !== undefined) put('axons', [NETUID, hotkey.address], axonInfo(axon))
  }
  node.apis.set('SubnetInfoRuntimeApi_get_metagraph', (argument) =>
    new DataView(argument.buffer, argument.byteOffset).getUint16(0, true) === NETUID
      ? metagraphHex(neurons)
      : '0x00',
  )
}

function metagraphHex(neurons: readonly MockNeuron[]): string {
  const { incentive, validatorTrust: _, ...rest } = columns(neurons)
  const value = {
    ...rest,
    netuid: NETUID,
    incentives: incentive,
    hotkeys: neurons.map(({ hotkey }) => hotkey.address),
    coldkeys: neurons.map(({ coldkey }) => coldkey.address),
    axons: neurons.map(({ axon }) => axonInfo(axon)),
    blockAtRegistration: neurons.map((__, uid) => 1 + uid),
    totalStake: neurons.map(({ stake }) => stake),
  }
  return `0x${hex(secondEncoder().type('Option<PalletSubtensorRpcInfoMetagraph>', value))}`
}

/** What commitments, weights and registrations change. */
export function runCall({ name, args, signer }: MockCall, storage: Storage): undefined {
  if (name === 'commitments.setCommitment') {
    putInto(storage, 'commitments', 'commitmentOf', [args[0], signer], {
      deposit: 0,
      block: 1,
      info: args[1],
    })
  } else if (name === 'subtensorModule.setWeights') {
    const [netuid, dests, weights] = args as [number, number[], number[]]
    putInto(
      storage,
      'subtensorModule',
      'weights',
      [netuid, 0],
      dests.map((uid, i) => [uid, weights[i]]),
    )
  } else if (name === 'subtensorModule.burnedRegister') {
    putInto(storage, 'subtensorModule', 'uids', [args[0], args[1]], 2)
  }
}

/** Runtimes by version and metadata: the real one takes a second to read. */
const runtimes = new Map<string, Promise<Runtime>>()

const loadRuntime: typeof Runtime.load = (metadata, version) => {
  const name = `${version.specVersion} ${hex(blake2AsU8a(metadata, 128))}`
  const known = runtimes.get(name) ?? Runtime.load(metadata, version)
  runtimes.set(name, known)
  return known
}

/** Patience for tests: everything that goes wrong goes wrong soon. */
export function subtensorChain(
  urls: readonly string[],
  init: Partial<SubtensorInit> = {},
  clock: Clock = systemClock,
): SubtensorChain {
  const components = { clock, random: seededRandom('subtensor'), logger: silentLogger, loadRuntime }
  return new SubtensorChain(components, {
    urls,
    genesisHash: undefined,
    netuid: NETUID,
    retryMinMs: 5,
    retryMaxMs: 20,
    ...init,
  })
}
