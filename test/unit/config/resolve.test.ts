import assert from 'node:assert/strict'
import { parseDocument } from 'yaml'
import { isSubnetError } from '../../../src/base/errors.js'
import { configTemplate, resolveConfig } from '../../../src/config/resolve.js'
import { SETTING_NAMES, SETTINGS, type SettingName, variableOf } from '../../../src/config/settings.js'

const NOTHING = { flags: {}, environment: {} }

/** A value other than the default, as text, for every setting. */
const EXAMPLES: Readonly<Record<SettingName, readonly [text: string, value: unknown]>> = {
  netuid: ['7', 7],
  'subtensor.network': ['finney', 'finney'],
  'subtensor.chain_endpoint': ['dev://10.0.0.1:1', 'dev://10.0.0.1:1'],
  'subtensor.devchain_port': ['9000', 9_000],
  'subtensor.devchain_block_ms': ['250', 250],
  'subtensor.devchain_path': ['/srv/chain', '/srv/chain'],
  db_root_path: ['/data', '/data'],
  node_name: ['blue', 'blue'],
  capacity: ['2GiB', 2 * 1024 ** 3],
  threshold: ['0.5', 0.5],
  listen: ['/ip4/0.0.0.0/tcp/4001', '/ip4/0.0.0.0/tcp/4001'],
  'wallet.name': ['alice', 'alice'],
  'wallet.hotkey': ['hot', 'hot'],
  'wallet.path': ['/wallets', '/wallets'],
  profile: ['standard', 'standard'],
  'log.level': ['debug', 'debug'],
}

describe('resolveConfig', () => {
  for (const name of SETTING_NAMES) {
    it(`reads ${name} alike from flag, variable and file`, () => {
      const [text, value] = EXAMPLES[name]
      const file = { path: 'config.yml', text: `${name}: ${text}` }
      const sources = [
        { ...NOTHING, flags: { [name]: text } },
        { ...NOTHING, environment: { [variableOf(name)]: text } },
        { ...NOTHING, file },
      ]
      const resolved = sources.map(resolveConfig)
      assert.deepEqual(
        resolved.map((config) => config.optional(name)),
        [value, value, value],
      )
      assert.deepEqual(
        resolved.map((config) => config.origin(name)),
        ['flag', 'environment', 'file'],
      )
    })
  }

  it('prefers flag to variable to file to default', () => {
    const all = {
      flags: { netuid: '1' },
      environment: { SUBNET_NETUID: '2' },
      file: { path: 'config.yml', text: 'netuid: 3' },
    }
    assert.equal(resolveConfig(all).get('netuid'), 1)
    assert.equal(resolveConfig({ ...all, flags: {} }).get('netuid'), 2)
    assert.equal(resolveConfig({ ...all, flags: {}, environment: {} }).get('netuid'), 3)
    assert.equal(resolveConfig(NOTHING).get('netuid'), SETTINGS.netuid.fallback)
  })

  it('reads dotted names as sections too', () => {
    const config = resolveConfig({
      ...NOTHING,
      file: { path: 'c', text: 'wallet:\n  name: alice\n  hotkey: hot' },
    })
    assert.deepEqual([config.get('wallet.name'), config.get('wallet.hotkey')], ['alice', 'hot'])
  })

  for (const [what, sources, message] of [
    [
      'a mistyped entry',
      { file: { path: 'c.yml', text: 'capasity: 1GiB' } },
      /capasity is no setting; did you mean capacity/,
    ],
    [
      'a mistyped entry of a section',
      { file: { path: 'c.yml', text: 'wallet: {nmae: x}' } },
      /did you mean wallet\.name/,
    ],
    [
      'a mistyped variable',
      { environment: { SUBNET_CAPASITY: '1' } },
      /SUBNET_CAPASITY .* did you mean SUBNET_CAPACITY/,
    ],
    [
      'an entry like nothing',
      { file: { path: 'c.yml', text: 'zzzzzzzzzzzz: 1' } },
      /zzzzzzzzzzzz is no setting$/,
    ],
    ['a wrong value', { flags: { capacity: 'lots' } }, /--capacity: "lots" is not a size/],
    ['a wrong value in the file', { file: { path: 'c.yml', text: 'threshold: 3' } }, /threshold in c\.yml/],
    [
      'a file that is no list of settings',
      { file: { path: 'c.yml', text: '- 1' } },
      /c\.yml: it is not a list/,
    ],
    ['a file that is no YAML', { file: { path: 'c.yml', text: 'a: [' } }, /^c\.yml: /],
  ] as const) {
    it(`refuses ${what} with CONFIG, and says where it is`, () => {
      assert.throws(
        () => resolveConfig({ ...NOTHING, ...sources }),
        (error) => isSubnetError(error, 'CONFIG') && message.test(error.message),
      )
    })
  }

  it('leaves variables of others alone', () => {
    resolveConfig({ ...NOTHING, environment: { HOME: '/h', SUBNET_CONFIG: '/c', SUBNETS: 'x' } })
  })

  it('says what is needed when a setting without default is asked for', () => {
    assert.throws(() => resolveConfig(NOTHING).get('capacity'), /--capacity is needed/)
  })
})

describe('configTemplate', () => {
  it('is a file that changes nothing', () => {
    assert.deepEqual(parseDocument(configTemplate()).toJS(), null)
    assert.equal(
      resolveConfig({ ...NOTHING, file: { path: 't', text: configTemplate() } }).isSet('netuid'),
      false,
    )
  })

  it('gives every default in force once its mark is removed', () => {
    const text = configTemplate()
      .split('\n')
      .filter((line) => /^#[a-z_.]+: ./.test(line))
      .map((line) => line.slice(1))
      .join('\n')
    const config = resolveConfig({ ...NOTHING, file: { path: 't', text } })
    for (const name of SETTING_NAMES) assert.equal(config.optional(name), SETTINGS[name].fallback, name)
  })
})
