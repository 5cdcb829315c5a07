/** `subnet-node doctor`: every precondition of a node, what is wrong with it and what to do. The exit code says the worst. */
import { join } from 'node:path'
import { type Command, Option } from 'commander'
import { systemClock } from '../../base/clock.js'
import { type ErrorCode, SubnetError } from '../../base/errors.js'
import { silentLogger } from '../../base/log.js'
import { systemRandom } from '../../base/random.js'
import { nodeAddresses } from '../../config/addresses.js'
import { chainDirectory, chainEndpoint } from '../../config/chain-endpoint.js'
import { examine } from '../../node/doctor.js'
import type { Finding } from '../../node/finding.js'
import {
  addOutputOptions,
  addSettings,
  CHAIN_SETTINGS,
  commandConfig,
  type OutputOptions,
} from '../options.js'
import { Output } from '../output.js'
import { capacityOf, walletOf } from './run.js'

interface DoctorOptions extends OutputOptions {
  readonly role: 'miner' | 'validator'
}

/** Which failure the exit code is of, where there are several: what the operator must change comes before waiting. */
const WORST_FIRST: readonly ErrorCode[] = ['CONFIG', 'DATA_DIR', 'DISK']
const SIGNS = { ok: 'ok  ', failed: 'FAIL', skipped: '-   ' } as const

export function addDoctor(program: Command): void {
  const command = program
    .command('doctor')
    .description('look at everything a node of this machine needs, and say what is wrong and what to do')
    .addOption(
      new Option('--role <role>', 'role of the node').choices(['miner', 'validator']).default('miner'),
    )
    .action(doctor)
  addSettings(command, [
    ...CHAIN_SETTINGS,
    'db_root_path',
    'node_name',
    'capacity',
    'threshold',
    'listen',
    'axon.ip',
    'axon.port',
    'wallet.name',
    'wallet.hotkey',
    'wallet.path',
  ])
  addOutputOptions(command)
}

async function doctor(options: DoctorOptions): Promise<void> {
  const output = new Output(options)
  const config = await commandConfig(options)
  const { role } = options
  const capacityBytes = capacityOf(config)
  const findings = await examine(
    { clock: systemClock, random: systemRandom, logger: silentLogger },
    {
      role,
      chain: chainEndpoint(config),
      netuid: config.get('netuid'),
      dataPath: join(
        config.get('db_root_path'),
        chainDirectory(config),
        config.optional('node_name') ?? `${role}-1`,
      ),
      listen: nodeAddresses(config).listen,
      ...(capacityBytes === undefined ? {} : { capacityBytes }),
      ...walletOf(config),
    },
  )
  output.result({ role, findings }, findings.flatMap(rowsOf).join('\n'))
  const failures = findings.filter(({ state }) => state === 'failed')
  if (failures.length === 0) return
  const codes = failures.map(({ code }) => code ?? 'INTERNAL')
  const code = WORST_FIRST.find((each) => codes.includes(each)) ?? codes[0] ?? 'INTERNAL'
  const names = failures.map(({ check }) => check)
  throw new SubnetError(code, `not in order: ${names.join(', ')}`, { data: { failed: names } })
}

function rowsOf({ check, state, text, remedy }: Finding): string[] {
  const row = `${SIGNS[state]}  ${check.padEnd(12)}  ${text}`
  return remedy === undefined ? [row] : [row, `      ${''.padEnd(12)}  → ${remedy}`]
}
