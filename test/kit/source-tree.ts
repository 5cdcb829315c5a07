/**
 * TypeScript files as syntax trees, for the house's rules: the project's own, or a few lines that a test makes up.
 * Nothing is resolved or type-checked here; `tsc` does that. The parser is the one of the pinned `typescript` package.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Node, SourceFile } from 'typescript/unstable/ast'
import type { FileSystem } from 'typescript/unstable/fs'
import { API } from 'typescript/unstable/sync'

export interface Source {
  /** From the project's root, with slashes. */
  readonly path: string
  readonly text: string
  readonly tree: SourceFile
}

/** Where `tsconfig.json` is: above the compiled tests, wherever they were compiled to. */
export function projectRoot(): string {
  let directory = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(directory, 'tsconfig.json'))) {
    const parent = dirname(directory)
    if (parent === directory) throw new Error('there is no tsconfig.json above the tests')
    directory = parent
  }
  return directory
}

/** Files of the project under these paths: tracked ones, and new ones unless told otherwise; never what is ignored. */
export function projectFiles(paths: readonly string[], which: 'tracked' | 'all' = 'all'): string[] {
  const others = which === 'all' ? ['--others', '--exclude-standard'] : []
  const args = ['ls-files', '-z', '--cached', ...others, '--', ...paths]
  const root = projectRoot()
  const listed = execFileSync('git', args, { cwd: root, encoding: 'utf8' }).split('\0')
  return listed.filter((path) => path !== '' && existsSync(join(root, path)))
}

/** Parses, in a process of its own that `close` ends. */
export class SourceParser implements Disposable {
  /** Absolute, in a file system that exists only here. */
  readonly #files = new Map<string, string>()
  readonly #api = new API({ cwd: '/', fs: virtualFiles(this.#files) })
  #projects = 0

  /** Every TypeScript file of the project under these paths. */
  project(paths: readonly string[]): Source[] {
    const names = projectFiles(paths).filter((name) => name.endsWith('.ts'))
    const root = projectRoot()
    return this.parse(Object.fromEntries(names.map((name) => [name, readFileSync(join(root, name), 'utf8')])))
  }

  /** Texts by path. */
  parse(files: Readonly<Record<string, string>>): Source[] {
    this.#projects += 1
    const root = `/${this.#projects}`
    const config = `${root}/tsconfig.json`
    const compilerOptions = { noLib: true, noResolve: true, types: [], module: 'nodenext', target: 'es2022' }
    this.#files.set(config, JSON.stringify({ compilerOptions, files: Object.keys(files) }))
    for (const [path, text] of Object.entries(files)) this.#files.set(`${root}/${path}`, text)
    using snapshot = this.#api.updateSnapshot({ openProjects: [config] })
    const program = snapshot.getProject(config)?.program
    return Object.entries(files).map(([path, text]) => {
      const tree = program?.getSourceFile(`${root}/${path}`)
      if (tree === undefined) throw new Error(`${path} could not be parsed`)
      return { path, text, tree }
    })
  }

  [Symbol.dispose](): void {
    this.#api.close()
  }
}

function virtualFiles(files: ReadonlyMap<string, string>): FileSystem {
  return {
    readFile: (path) => files.get(path) ?? null,
    fileExists: (path) => files.has(path),
    directoryExists: (path) => [...files.keys()].some((file) => file.startsWith(`${path}/`)),
    getAccessibleEntries: () => ({ files: [], directories: [] }),
    realpath: (path) => path,
  }
}

/** The node and all below it, parents first. */
export function* nodesOf(node: Node): Generator<Node> {
  yield node
  const children: Node[] = []
  node.forEachChild((child) => {
    children.push(child)
    return undefined
  })
  for (const child of children) yield* nodesOf(child)
}

/** 1-based line at which a node's own text begins. */
export function lineOf(source: Source, node: Node): number {
  return lineAt(source, node.getStart(source.tree))
}

export function lineAt(source: Source, offset: number): number {
  return source.text.slice(0, offset).split('\n').length
}
