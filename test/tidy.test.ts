/**
 * The house's rules as a test: layers, sizes, head comments, where real time and chance may be, what a type or a test may
 * not be silenced with. Each rule is first shown something bad, so that it is known to be able to fail.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { projectFiles, projectRoot, type Source, SourceParser } from './kit/source-tree.js'
import { brokenImports, unusedExceptions } from './tidy/layers.js'
import {
  barrels,
  emptyNames,
  FILE_LINES_MAX,
  FUNCTION_LINES_MAX,
  incompleteProtocols,
  tooLong,
  withoutHead,
} from './tidy/shape.js'
import {
  leftovers,
  machineTraces,
  processExits,
  realTimeAndChance,
  switchedOffTests,
  unwantedRemarks,
  unwantedSyntax,
} from './tidy/words.js'

const EMPTY = '/** A file. */\nexport {}\n'
const BELOW = ['src/base/a.ts', 'src/crypto/a.ts', 'src/redundancy/a.ts', 'src/net/a.ts', 'src/transfer/a.ts']
const HIGHER = [
  'src/roles/client/a.ts',
  'src/roles/miner/a.ts',
  'src/node/a.ts',
  'src/index.ts',
  'test/kit/a.ts',
]
const SOME_PROTOCOLS = [
  'protocols/common/a.ts',
  'protocols/hello/a.ts',
  'protocols/lease/a.ts',
  'protocols/order/a.ts',
]

describe('tidy', function () {
  this.timeout(60_000)
  let parser: SourceParser
  let product: readonly Source[]
  let all: readonly Source[]

  before(() => {
    parser = new SourceParser()
    all = parser.project(['src', 'protocols', 'test', 'sim', 'bench'])
    product = all.filter(({ path }) => /^(src|protocols)\//.test(path))
    assert.ok(product.length > 50, 'the sources are there')
  })

  after(() => parser[Symbol.dispose]())

  /** What a rule says of one made-up file, among others that can be imported. */
  function complaints(check: (sources: readonly Source[]) => string[], path: string, text: string): string[] {
    const others = [...BELOW, ...HIGHER, ...SOME_PROTOCOLS].map((other) => [other, EMPTY])
    return check(parser.parse({ ...Object.fromEntries(others), [path]: text }))
  }

  /** `bad` must be refused with these words, `good` must not, and the project has nothing of the kind. */
  function rule(
    title: string,
    check: (sources: readonly Source[]) => string[],
    examples: {
      readonly bad: readonly (readonly [path: string, text: string, says: RegExp])[]
      readonly good: readonly (readonly [path: string, text: string])[]
      readonly of?: () => readonly Source[]
    },
  ): void {
    it(title, () => {
      for (const [path, text, says] of examples.bad) {
        const found = complaints(check, path, text)
        assert.equal(found.length, 1, `${path}: ${text.slice(0, 200)} → ${found.join('; ')}`)
        assert.match(found[0] ?? '', says)
      }
      for (const [path, text] of examples.good) assert.deepEqual(complaints(check, path, text), [])
      assert.deepEqual(check(examples.of?.() ?? product), [])
    })
  }

  rule('imports only point down, each room knows only what the law names', brokenImports, {
    of: () => all,
    bad: [
      ['src/base/b.ts', "import { x } from '../crypto/a.js'", /base is below crypto/],
      ['src/crypto/b.ts', "import type { x } from '../redundancy/a.js'", /redundancy is beside crypto/],
      ['src/net/b.ts', "export { x } from '../../protocols/common/a.js'", /net is below protocols/],
      ['src/transfer/b.ts', "const x = await import('../roles/client/a.js')", /transfer is below roles/],
      ['src/transfer/b.ts', "let x: import('../roles/client/a.js').X", /transfer is below roles/],
      ['src/roles/miner/b.ts', "import '../client/a.js'", /miner does not know client/],
      ['src/roles/miner/b.ts', "import '../../transfer/a.js'", /only the client/],
      ['src/node/b.ts', "import '../index.js'", /the door/],
      ['src/node/b.ts', "import '../../test/kit/a.js'", /not part of the product/],
      ['src/node/b.ts', "import './gone.js'", /no such file/],
      ['src/attic/b.ts', "import '../base/a.js'", /no layer has the room attic/],
      ['protocols/common/b.ts', "import '../hello/a.js'", /common does not know hello/],
      ['protocols/lease/b.ts', "import '../order/a.js'", /lease does not know order/],
      ['protocols/hello/b.ts', "import '../../src/transfer/a.js'", /protocols is below transfer/],
      ['src/chain/b.ts', "import { createLibp2p } from 'libp2p'", /only src\/net/],
      ['src/roles/validator/b.ts', "import { Level } from 'level'", /only shard and ledger/],
    ],
    good: [
      ['src/redundancy/b.ts', "import '../crypto/a.js'\nimport './a.js'\nimport 'node:fs'"],
      ['src/roles/client/b.ts', "import '../../transfer/a.js'\nimport '../../../protocols/order/a.js'"],
      ['protocols/order/b.ts', "import '../lease/a.js'\nimport '../../src/base/a.js'"],
      ['src/net/b.ts', "import { createLibp2p } from 'libp2p'"],
      ['src/roles/validator/ledger-database.ts', "import { Level } from 'level'"],
    ],
  })

  it('keeps no exception from the import law that nothing needs', () => {
    assert.ok(unusedExceptions(parser.parse({ 'src/base/a.ts': EMPTY })).length > 0)
    assert.deepEqual(unusedExceptions(product), [])
  })

  const lines = (count: number) => '  x()\n'.repeat(count)
  rule(`keeps files within ${FILE_LINES_MAX} lines and functions within ${FUNCTION_LINES_MAX}`, tooLong, {
    of: () => all.filter(({ path }) => !path.startsWith('test/')),
    bad: [
      ['src/base/b.ts', '//\n'.repeat(FILE_LINES_MAX + 1), /401 lines/],
      ['src/base/b.ts', `function f() {\n${lines(FUNCTION_LINES_MAX - 1)}}\n`, /:1 a function has 71 lines/],
      [
        'src/base/b.ts',
        `\nconst f = async () => {\n${lines(FUNCTION_LINES_MAX - 1)}}\n`,
        /:2 a function has 71/,
      ],
      [
        'src/base/b.ts',
        `class A {\n  #m() {\n${lines(FUNCTION_LINES_MAX - 1)}}\n}\n`,
        /:2 a function has 71/,
      ],
    ],
    good: [
      ['src/base/b.ts', '//\n'.repeat(FILE_LINES_MAX)],
      ['src/base/b.ts', `/** Not a line of it. */\nfunction f() {\n${lines(FUNCTION_LINES_MAX - 2)}}\n`],
      ['src/base/b.ts', `const TABLE = [\n${'  1,\n'.repeat(2 * FUNCTION_LINES_MAX)}]\n`],
    ],
  })

  rule('begins every file with a comment that says what it is', withoutHead, {
    of: () => all,
    bad: [
      ['src/base/b.ts', "import 'node:fs'\n", /no head/],
      ['src/base/b.ts', '/** */\nexport {}\n', /no head/],
      ['src/base/b.ts', '#!/usr/bin/env node\nexport {}\n', /no head/],
    ],
    good: [
      ['src/base/b.ts', EMPTY],
      ['src/base/b.ts', `#!/usr/bin/env node\n${EMPTY}`],
      ['src/base/b.ts', '/**\n * A file.\n */\n'],
    ],
  })

  rule('has no barrel but the door', barrels, {
    bad: [
      ['src/base/b.ts', "const a = 1\nexport * from './a.js'", /b\.ts/],
      ['src/base/b.ts', "import './a.js'\nexport type { A } from './a.js'", /b\.ts/],
    ],
    good: [
      ['src/index.ts', "export * from './base/a.js'"],
      ['src/base/b.ts', 'const a = 1\nexport { a }'],
      ['src/base/b.ts', "export type { A } from './a.js'\nexport const b = 1"],
    ],
  })

  rule('gives every file a name of its own', emptyNames, {
    bad: [
      ['src/base/utils.ts', EMPTY, /utils/],
      ['src/net/helper/a.ts', EMPTY, /helper/],
      ['src/net/peer-manager.ts', EMPTY, /manager/],
    ],
    good: [['src/base/units.ts', EMPTY]],
  })

  rule('takes time and chance only from src/base', realTimeAndChance, {
    bad: [
      ['src/node/b.ts', 'const t = Date.now()', /Date\.now/],
      ['src/node/b.ts', 'const t = new Date()', /Date/],
      ['src/node/b.ts', 'const t = Date()', /Date/],
      ['src/node/b.ts', '\n\nconst t = globalThis.Math.random()', /:3 .*Math\.random/],
      ['src/node/b.ts', 'const t = performance.now()', /performance\.now/],
      ['src/node/b.ts', 'const t = AbortSignal.timeout(5)', /AbortSignal\.timeout/],
      ['src/node/b.ts', "import { setTimeout as sleep } from 'node:timers/promises'", /setTimeout/],
      ['src/node/b.ts', 'setInterval(f, 5)', /setInterval/],
      ['src/node/b.ts', 'globalThis.setImmediate(f)', /setImmediate/],
      ['protocols/order/b.ts', "import { randomBytes } from 'node:crypto'", /randomBytes/],
      ['protocols/order/b.ts', 'const t = crypto.randomUUID()', /randomUUID/],
      ['protocols/order/b.ts', 'crypto.getRandomValues(t)', /getRandomValues/],
    ],
    good: [
      ['src/base/b.ts', 'const t = Date.now() + Math.random()'],
      ['src/node/b.ts', 'const t = new Date(5)\n// not Date.now()\nconst text = "setTimeout"'],
      ['test/unit/b.ts', 'const t = Date.now()'],
    ],
  })

  rule('silences no type, and uses nothing that types alone would be without', unwantedSyntax, {
    of: () => all,
    bad: [
      ['src/node/b.ts', 'const t = x as any', /:1 has any/],
      ['src/node/b.ts', 'function f(x: any[]) {}', /any/],
      ['src/node/b.ts', 'enum E { A }', /enum/],
      ['src/node/b.ts', 'namespace N { const a = 1 }', /namespace/],
      ['src/node/b.ts', '@sealed class A {}', /decorator/],
    ],
    good: [['src/node/b.ts', 'const any = "any" as unknown\nPromise.any([])']],
  })

  const later = ['TO', 'DO'].join('')
  rule('leaves nothing for later and tells the compiler to overlook nothing', unwantedRemarks, {
    of: () => all,
    bad: [
      ['src/node/b.ts', `const a = 1 // ${later}: more`, /:1 says/],
      ['src/node/b.ts', `/*\n * ${['FIX', 'ME'].join('')} */`, /:2 says/],
      ['src/node/b.ts', `f({\n  // ${'@ts-'}ignore\n})`, /:2 says/],
      ['test/unit/b.ts', `const a = /\\/*/ // ${'@ts-'}nocheck`, /:1 says/],
      ['src/node/b.ts', `// ${'@ts-'}expect-error`, /:1 says/],
    ],
    good: [
      ['test/unit/b.ts', `// ${'@ts-'}expect-error`],
      ['src/node/b.ts', `const a = '// ${later}' + \`/* ${later} */\` + /\\/\\/ ${later}/.source`],
    ],
  })

  rule('ends the process only from the command line', processExits, {
    bad: [['src/node/b.ts', 'process.exit(1)', /:1 ends/]],
    good: [
      ['src/cli/b.ts', 'process.exit(1)'],
      ['src/node/b.ts', 'process.exitCode = 1'],
    ],
  })

  rule('narrows no test and switches none off without a condition', switchedOffTests, {
    of: () => all,
    bad: [
      ['test/unit/b.test.ts', `it${'.only'}('x', () => {})`, /narrows/],
      ['test/unit/b.test.ts', `describe${'.skip'}('x', () => {})`, /skips/],
      ['test/unit/b.test.ts', "xit('x', () => {})", /xit/],
      ['test/unit/b.test.ts', "it('x', function () { this.skip() })", /skips/],
      ['test/unit/b.test.ts', `if (a) describe('x', () => { it${'.skip'}('y', () => {}) })`, /skips/],
    ],
    good: [
      ['test/unit/b.test.ts', "it('x', function () { if (!root) this.skip() })"],
      ['test/unit/b.test.ts', "it('x', function () { if (root) return; this.skip() })"],
      ['test/unit/b.test.ts', "const test = root ? it : it.skip\ntest('x', () => {})"],
    ],
  })

  it('has a specification and its messages in one file for every protocol', () => {
    assert.deepEqual(incompleteProtocols(['protocols/a/messages.ts', 'protocols/common/b.ts']), [
      'protocols/a/SPEC.md',
    ])
    assert.deepEqual(incompleteProtocols(['protocols/a/SPEC.md']), ['protocols/a/messages.ts'])
    assert.deepEqual(incompleteProtocols(projectFiles(['protocols'])), [])
  })

  it('tracks nothing that a build or a run has left', () => {
    assert.deepEqual(leftovers(['.bench-x/a', 'bench/a.ts', 'x/peer-key', 'src/a.ts']), [
      '.bench-x/a',
      'x/peer-key',
    ])
    assert.deepEqual(leftovers(projectFiles(['.'], 'tracked')), [])
  })

  it('has no path of a machine and no package registry in any tracked file', () => {
    const bad: readonly (readonly [path: string, text: string])[] = [
      ['a.json', `"url": "https://${['registry', 'npmjs', 'org'].join('.')}/x"`],
      ['package-lock.json', '  "resolved": "x"'],
      ['a.md', `see ${['', 'home', 'alice', 'notes'].join('/')}`],
      ['a.md', 'in /somewhere/checkout/dist'],
    ]
    for (const [path, text] of bad)
      assert.equal(machineTraces(path, text, '/somewhere/checkout').length, 1, text)
    assert.deepEqual(machineTraces('a.md', 'a/home/page and https://x.org/Users/', '/somewhere/checkout'), [])
    const root = projectRoot()
    const found = projectFiles(['.'], 'tracked').flatMap((path) =>
      machineTraces(path, readFileSync(join(root, path), 'latin1'), root),
    )
    assert.deepEqual(found, [])
  })
})
