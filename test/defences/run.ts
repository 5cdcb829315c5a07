/**
 * Shows that every defence is tested: each `*.patch` here takes one away, and the test it names must then fail. A patch
 * says in its first lines what the defence is, which test file, and which test by its full title; then comes a unified
 * diff of the sources. One that does not apply or compile, or whose test passes with or fails without it, is an error.
 *
 * `npm run test:defences`, or with the names of some defences as arguments.
 */
import { execFile } from 'node:child_process'
import { cp, mkdir, readdir, readFile, rm, symlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { systemClock } from '../../src/base/clock.js'
import { formatDuration } from '../../src/base/units.js'
import { projectFiles, projectRoot } from '../kit/source-tree.js'
import { tempDir } from '../kit/temp-dir.js'

const WORKERS = 2
/** For one compilation or one run of tests; a defence that is gone may leave a test waiting for ever. */
const PROGRAM_TIMEOUT_MS = 240_000
const COPIED = ['src', 'protocols', 'test', 'sim', 'bench', 'docs', 'package.json', 'tsconfig.json']
/** What a patch leaves unused is no mistake of it. */
const COMPILER_ARGS = ['-p', '.', '--noUnusedLocals', 'false', '--noUnusedParameters', 'false']

interface Defence {
  /** Of its file, without the ending. */
  readonly name: string
  readonly path: string
  readonly what: string
  /** e.g. `test/unit/crypto/merkle.test.ts`. */
  readonly testFile: string
  readonly testTitle: string
}

async function main(wanted: readonly string[]): Promise<number> {
  const startMs = systemClock.monotonicMs()
  const all = await readDefences(join(projectRoot(), 'test', 'defences'))
  const defences = all.filter(({ name }) => wanted.length === 0 || wanted.includes(name))
  await using directory = await tempDir()
  const first = await Copy.create(join(directory.path, '0'))
  const copies = [first]
  while (copies.length < WORKERS) copies.push(await first.clone(join(directory.path, String(copies.length))))
  const untouched = await first.outcomes(defences)
  const waiting = [...defences]
  let failed = 0
  const work = async (copy: Copy) => {
    for (let defence = waiting.shift(); defence !== undefined; defence = waiting.shift()) {
      const why =
        untouched.get(defence.testTitle) === true
          ? await copy.withoutDefence(defence)
          : 'its test does not exist, or fails on the sources as they are'
      if (why !== undefined) failed += 1
      console.log(why === undefined ? `✔ ${defence.what}` : `✘ ${defence.what} (${defence.name}): ${why}`)
    }
  }
  await Promise.all(copies.map(work))
  console.log(`\n${defences.length} defences in ${formatDuration(systemClock.monotonicMs() - startMs)}`)
  console.log(`${defences.length - failed} passed, ${failed} failed`)
  return defences.length > 0 && failed === 0 ? 0 : 1
}

async function readDefences(directory: string): Promise<Defence[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith('.patch')).sort()
  return await Promise.all(
    names.map(async (name) => {
      const path = join(directory, name)
      const text = await readFile(path, 'utf8')
      const field = (key: string): string => {
        const value = new RegExp(`^${key}: (.+)$`, 'm').exec(text)?.[1]
        if (value === undefined) throw new Error(`${path} has no line "${key}: …"`)
        return value
      }
      const [what, testFile, testTitle] = [field('Defence'), field('File'), field('Test')]
      return { name: basename(name, '.patch'), path, what, testFile, testTitle }
    }),
  )
}

/** A copy of the sources that can be spoiled. */
class Copy {
  readonly #path: string

  private constructor(path: string) {
    this.#path = path
  }

  /** With everything compiled; what is compiled later is only what a patch has changed. */
  static async create(path: string): Promise<Copy> {
    const root = projectRoot()
    for (const file of projectFiles(COPIED)) {
      await mkdir(join(path, dirname(file)), { recursive: true })
      await cp(join(root, file), join(path, file))
    }
    await symlink(join(root, 'node_modules'), join(path, 'node_modules'))
    const copy = new Copy(path)
    const mistakes = await copy.#compile()
    if (mistakes !== undefined) throw new Error(`the sources do not compile: ${mistakes}`)
    return copy
  }

  /** Another one as it is now. */
  async clone(path: string): Promise<Copy> {
    await cp(this.#path, path, { recursive: true, verbatimSymlinks: true })
    return new Copy(path)
  }

  /** Why the defence is not shown to be tested, or `undefined` if it is. */
  async withoutDefence(defence: Defence): Promise<string | undefined> {
    const refusal = await this.#run('git', ['apply', defence.path])
    if (refusal !== undefined) return `the patch does not apply: ${refusal}`
    const why = await this.#testFails(defence)
    const stuck = await this.#run('git', ['apply', '--reverse', defence.path])
    if (stuck !== undefined) throw new Error(`${defence.path} cannot be taken back: ${stuck}`)
    return why
  }

  async #testFails(defence: Defence): Promise<string | undefined> {
    const mistakes = await this.#compile()
    if (mistakes !== undefined) return `what the patch leaves does not compile: ${mistakes}`
    const passed = (await this.outcomes([defence])).get(defence.testTitle)
    if (passed === undefined) return 'its test did not come to an end'
    return passed ? 'its test passes without it' : undefined
  }

  /** Runs the tests of these defences: whether each passed, by full title. What did not end is not in it. */
  async outcomes(defences: readonly Defence[]): Promise<Map<string, boolean>> {
    const files = [...new Set(defences.map(({ testFile }) => testFile.replace(/\.ts$/, '.js')))]
    const titles = [...new Set(defences.map(({ testTitle }) => testTitle))]
    const report = join(this.#path, 'report.json')
    await rm(report, { force: true })
    await this.#run(process.execPath, [
      ...[join(this.#path, 'node_modules/mocha/bin/mocha.js'), '--no-config', '--exit'],
      ...['--timeout', '20000', '--reporter', 'json', '--reporter-option', `output=${report}`],
      ...['--grep', `^(${titles.map((title) => title.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('|')})$`],
      ...files.map((file) => join('dist', file)),
    ])
    const text = await readFile(report, 'utf8').catch(() => '{"passes":[],"failures":[]}')
    const { passes, failures } = JSON.parse(text) as Record<'passes' | 'failures', { fullTitle: string }[]>
    const outcomes = new Map<string, boolean>()
    for (const { fullTitle } of passes) outcomes.set(fullTitle, true)
    for (const { fullTitle } of failures) outcomes.set(fullTitle, false)
    return outcomes
  }

  #compile(): Promise<string | undefined> {
    return this.#run(process.execPath, [
      join(this.#path, 'node_modules/typescript/bin/tsc'),
      ...COMPILER_ARGS,
    ])
  }

  /** What a program says when it does not end with 0. */
  #run(program: string, args: readonly string[]): Promise<string | undefined> {
    const options = { cwd: this.#path, timeout: PROGRAM_TIMEOUT_MS, maxBuffer: 2 ** 26 }
    return new Promise((resolve) => {
      execFile(program, [...args], options, (error, stdout, stderr) => {
        if (error === null) resolve(undefined)
        else resolve(`${stderr}${stdout}`.trim().split('\n').slice(0, 3).join(' ') || error.message)
      })
    })
  }
}

process.exitCode = await main(process.argv.slice(2))
