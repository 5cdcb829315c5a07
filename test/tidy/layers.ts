/**
 * The import law: imports only point down. Layers and exceptions are written out here; what is not written is not
 * allowed. Source: docs on architecture, "Layers".
 */
import { posix } from 'node:path'
import type { ExportDeclaration, ImportDeclaration, Node, StringLiteral } from 'typescript/unstable/ast'
import { SyntaxKind } from 'typescript/unstable/ast'
import { lineOf, nodesOf, type Source } from '../kit/source-tree.js'

/** Bottom first. A room is a folder under `src/`, or all of `protocols/`. */
const LAYERS: readonly (readonly string[])[] = [
  ['base'],
  ['actor', 'crypto', 'redundancy', 'incentive', 'desirability', 'config'],
  ['net', 'shard', 'chain', 'coding'],
  ['protocols'],
  ['transfer'],
  // What the coldkey pays for stands beside the roles: none of them ever holds that key.
  ['roles', 'registration'],
  ['node'],
  ['gateway'],
  ['cli'],
  // The library's door.
  ['index.ts'],
]

/** Rooms of one layer do not know each other, but for these. */
const BESIDE: ReadonlySet<string> = new Set([
  'actor → crypto',
  'redundancy → crypto',
  'incentive → crypto',
  'desirability → crypto',
])

/** Single files beside their layer's other rooms, each with its reason. */
const FILES_BESIDE: ReadonlySet<string> = new Set([
  // Where a member is reached is said in the words of the `Net` port; only its type is taken.
  'src/chain/subnet-view.ts → src/net/net.ts',
  // A profile is a setting, and its names are the profiles' own.
  'src/config/settings.ts → src/redundancy/profiles.ts',
])

/** A protocol knows `common` and `hello`, and the protocols whose signed things it carries. */
const PROTOCOLS_BELOW: Readonly<Record<string, readonly string[]>> = {
  common: [],
  hello: ['common'],
  order: ['common', 'hello', 'lease'],
  store: ['common', 'hello', 'order', 'lease'],
  retrieve: ['common', 'hello', 'order'],
}
const PROTOCOL_DEFAULT: readonly string[] = ['common', 'hello']

/** Roles that move objects themselves: the validator will, when it repairs. */
const ROLES_WITH_TRANSFER: ReadonlySet<string> = new Set(['client'])

/** Packages that one place only may know. */
const PACKAGES: readonly (readonly [name: RegExp, where: RegExp, what: string])[] = [
  // Texts of peer ids and addresses: the chain's record has one form of each, and nothing is dialled there.
  [/^(@libp2p\/peer-id|@multiformats\/multiaddr)$/, /^src\/(net\/|chain\/record\.ts$)/, 'net and the record'],
  // 0.7 s and 60 MiB to load: only where a real chain is spoken to, and only when it is.
  [/^@polkadot\/(api|types|x-ws)(\/|$)/, /^src\/chain\/subtensor\//, 'src/chain/subtensor'],
  [/^(libp2p$|@libp2p\/|@chainsafe\/libp2p-|@multiformats\/multiaddr)/, /^src\/net\//, 'src/net'],
  [
    /^(level|classic-level|abstract-level)$/,
    /^src\/(shard\/|roles\/validator\/ledger-database\.ts$)/,
    'shard and ledger',
  ],
]

export interface Import {
  /** As written. */
  readonly specifier: string
  /** Path from the project's root, of a file of the project. */
  readonly target?: string
  readonly line: number
}

/** Imports, re-exports and `import()` of a file. */
export function importsOf(source: Source): Import[] {
  const imports: Import[] = []
  for (const node of nodesOf(source.tree)) {
    const specifier = specifierOf(node)
    if (specifier === undefined) continue
    const isOwn = specifier.startsWith('.')
    const target = posix.join(posix.dirname(source.path), specifier).replace(/\.js$/, '.ts')
    imports.push({ specifier, line: lineOf(source, node), ...(isOwn ? { target } : {}) })
  }
  return imports
}

function specifierOf(node: Node): string | undefined {
  switch (node.kind) {
    case SyntaxKind.ImportDeclaration:
      return ((node as ImportDeclaration).moduleSpecifier as StringLiteral).text
    case SyntaxKind.ExportDeclaration:
      return ((node as ExportDeclaration).moduleSpecifier as StringLiteral | undefined)?.text
    case SyntaxKind.CallExpression:
    case SyntaxKind.ImportType: {
      const [first, second] = [...nodesOf(node)].slice(1)
      const isCall = node.kind === SyntaxKind.CallExpression
      if (isCall && first?.kind !== SyntaxKind.ImportKeyword) return undefined
      const literal = isCall
        ? second
        : [...nodesOf(node)].find(({ kind }) => kind === SyntaxKind.StringLiteral)
      return literal?.kind === SyntaxKind.StringLiteral ? (literal as StringLiteral).text : undefined
    }
    default:
      return undefined
  }
}

/** What breaks the law, each as `path:line why`. */
export function brokenImports(sources: readonly Source[]): string[] {
  const known = new Set(sources.map(({ path }) => path))
  return sources
    .filter(({ path }) => /^(src|protocols)\//.test(path))
    .flatMap((source) =>
      importsOf(source).flatMap(({ specifier, target, line }) => {
        const why =
          target === undefined ? packageFault(source.path, specifier) : fault(source.path, target, known)
        return why === undefined ? [] : [`${source.path}:${line} imports ${specifier}: ${why}`]
      }),
    )
}

function packageFault(path: string, specifier: string): string | undefined {
  const [, where, what] = PACKAGES.find(([name]) => name.test(specifier)) ?? []
  return where === undefined || where.test(path) ? undefined : `only ${what} may`
}

function fault(path: string, target: string, known: ReadonlySet<string>): string | undefined {
  if (!/^(src|protocols)\//.test(target)) return 'it is not part of the product'
  if (!known.has(target)) return 'there is no such file'
  if (target === 'src/index.ts') return 'the door is for those outside'
  const [from, to] = [roomOf(path), roomOf(target)]
  const [fromLayer, toLayer] = [layerOf(from), layerOf(to)]
  if (fromLayer < 0 || toLayer < 0) return `no layer has the room ${fromLayer < 0 ? from : to}`
  if (fromLayer < toLayer) return `${from} is below ${to}`
  if (from === 'roles' && to === 'roles') return partFault(path, target, () => false)
  if (from === 'protocols' && to === 'protocols') {
    const below = (name: string) => PROTOCOLS_BELOW[name] ?? PROTOCOL_DEFAULT
    return partFault(path, target, (one, other) => below(one).includes(other))
  }
  if (from === 'roles' && to === 'transfer' && !ROLES_WITH_TRANSFER.has(partOf(path))) {
    return 'only the client moves objects'
  }
  const mayBeside = BESIDE.has(`${from} → ${to}`) || FILES_BESIDE.has(`${path} → ${target}`)
  return fromLayer === toLayer && from !== to && !mayBeside ? `${to} is beside ${from}` : undefined
}

/** Rooms within a room: one role, one protocol. */
function partFault(
  path: string,
  target: string,
  allowed: (part: string, other: string) => boolean,
): string | undefined {
  const [part, other] = [partOf(path), partOf(target)]
  return part === other || allowed(part, other) ? undefined : `${part} does not know ${other}`
}

function roomOf(path: string): string {
  const [top = '', room = ''] = path.split('/')
  return top === 'src' ? room : top
}

function layerOf(room: string): number {
  return LAYERS.findIndex((rooms) => rooms.includes(room))
}

/** `client` of `src/roles/client/client.ts`, `order` of `protocols/order/order.ts`. */
function partOf(path: string): string {
  return path.split('/').at(-2) ?? ''
}

/** Exceptions in the law that nothing uses: each is a door left open. */
export function unusedExceptions(sources: readonly Source[]): string[] {
  const used = new Set<string>()
  for (const source of sources) {
    for (const { target } of importsOf(source)) {
      if (target === undefined) continue
      used.add(`${source.path} → ${target}`)
      used.add(`${partOf(source.path)} → ${partOf(target)}`)
    }
  }
  const parts = Object.entries(PROTOCOLS_BELOW).flatMap(([part, below]) =>
    below.map((other) => `${part} → ${other}`),
  )
  return [...FILES_BESIDE, ...parts].filter((exception) => !used.has(exception))
}
