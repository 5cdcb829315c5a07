/** The shape of a source file: how long, how it begins, where it lies, what stands beside it. */
import { type ExportDeclaration, type Node, type SourceFile, SyntaxKind } from 'typescript/unstable/ast'
import { lineAt, lineOf, nodesOf, type Source } from '../kit/source-tree.js'

export const FILE_LINES_MAX = 400
export const FUNCTION_LINES_MAX = 70

/** Words for things that nobody thought a name for. */
const EMPTY_NAMES = /(^|[/-])(util|utils|helper|helpers|manager|managers|common|misc)([/.-]|$)/

const FUNCTION_KINDS: ReadonlySet<SyntaxKind> = new Set([
  SyntaxKind.FunctionDeclaration,
  SyntaxKind.FunctionExpression,
  SyntaxKind.ArrowFunction,
  SyntaxKind.MethodDeclaration,
  SyntaxKind.Constructor,
  SyntaxKind.GetAccessor,
  SyntaxKind.SetAccessor,
])

export function tooLong(sources: readonly Source[]): string[] {
  return sources.flatMap((source) => [...longFile(source), ...longFunctions(source)])
}

function longFile({ path, text }: Source): string[] {
  const lines = text.split('\n').length - 1
  return lines > FILE_LINES_MAX ? [`${path} has ${lines} lines`] : []
}

/** From the first line of its text to the last; functions inside count as lines of the outer one. */
function longFunctions(source: Source): string[] {
  return [...nodesOf(source.tree)]
    .filter(({ kind }) => FUNCTION_KINDS.has(kind))
    .flatMap((node) => {
      const first = lineOf(source, node)
      const lines = lineAt(source, node.end) - first + 1
      return lines > FUNCTION_LINES_MAX ? [`${source.path}:${first} a function has ${lines} lines`] : []
    })
}

/** A file begins with a comment that says what it is; `#!` may stand before it. Tests say it in their titles. */
export function withoutHead(sources: readonly Source[]): string[] {
  return sources
    .filter(({ path, text }) => !path.endsWith('.test.ts') && !/^(#![^\n]*\n)?\/\*\*[\s*]+[^\s*/]/.test(text))
    .map(({ path }) => `${path} has no head`)
}

/** `export *`, or a file with nothing of its own: an import then no longer says where a thing lives. */
export function barrels(sources: readonly Source[]): string[] {
  return sources.filter(({ path, tree }) => path !== 'src/index.ts' && isBarrel(tree)).map(({ path }) => path)
}

function isBarrel(tree: SourceFile): boolean {
  const exports = tree.statements.filter(isReExport)
  const isStar = ({ exportClause }: ExportDeclaration) => exportClause === undefined
  const own = tree.statements.filter(
    (node) => !isReExport(node) && node.kind !== SyntaxKind.ImportDeclaration,
  )
  return exports.length > 0 && (own.length === 0 || exports.some(isStar))
}

function isReExport(node: Node): node is ExportDeclaration {
  return (
    node.kind === SyntaxKind.ExportDeclaration && (node as ExportDeclaration).moduleSpecifier !== undefined
  )
}

export function emptyNames(sources: readonly Source[]): string[] {
  return sources
    .filter(({ path }) => path.startsWith('src/') && EMPTY_NAMES.test(path))
    .map(({ path }) => path)
}

/** Every protocol is described and has its messages in one place. `common` is what they share, no protocol. */
export function incompleteProtocols(paths: readonly string[]): string[] {
  const folders = new Set(paths.flatMap((path) => /^protocols\/([^/]+)\//.exec(path)?.[1] ?? []))
  folders.delete('common')
  return [...folders].flatMap((name) =>
    ['SPEC.md', 'messages.ts']
      .map((file) => `protocols/${name}/${file}`)
      .filter((path) => !paths.includes(path)),
  )
}
