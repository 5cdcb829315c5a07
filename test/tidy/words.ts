/** Words that do not belong: real time and chance outside `src/base`, silenced types, tests switched off, leftovers. */
import type {
  CallExpression,
  Identifier,
  NewExpression,
  Node,
  PropertyAccessExpression,
} from 'typescript/unstable/ast'
import { SyntaxKind } from 'typescript/unstable/ast'
import { lineAt, lineOf, nodesOf, type Source } from '../kit/source-tree.js'

/** As functions, wherever they come from. */
const TIME_AND_CHANCE: ReadonlySet<string> = new Set([
  'setTimeout',
  'setInterval',
  'setImmediate',
  'randomBytes',
  'randomFill',
  'randomFillSync',
  'randomInt',
  'randomUUID',
  'getRandomValues',
])
/** As members of these. */
const TIME_AND_CHANCE_MEMBERS: ReadonlySet<string> = new Set([
  'Date.now',
  'Math.random',
  'AbortSignal.timeout',
  'performance.now',
  'process.hrtime',
  'process.uptime',
])

/** The simulator replaces what `src/base` gives; it cannot see this. */
export function realTimeAndChance(sources: readonly Source[]): string[] {
  return sources
    .filter(({ path }) => /^(src|protocols)\//.test(path) && !path.startsWith('src/base/'))
    .flatMap((source) =>
      [...nodesOf(source.tree)].flatMap((node) => {
        const word = timeOrChance(node)
        return word === undefined ? [] : [`${source.path}:${lineOf(source, node)} uses ${word}`]
      }),
    )
}

function timeOrChance(node: Node): string | undefined {
  if (node.kind === SyntaxKind.Identifier && TIME_AND_CHANCE.has((node as Identifier).text)) {
    return (node as Identifier).text
  }
  if (node.kind === SyntaxKind.PropertyAccessExpression) {
    const member = memberOf(node as PropertyAccessExpression)
    return TIME_AND_CHANCE_MEMBERS.has(member) ? member : undefined
  }
  const isNow =
    (node.kind === SyntaxKind.NewExpression && ((node as NewExpression).arguments?.length ?? 0) === 0) ||
    node.kind === SyntaxKind.CallExpression
  const callee = isNow ? (node as NewExpression | CallExpression).expression : undefined
  const isDate = callee?.kind === SyntaxKind.Identifier && (callee as Identifier).text === 'Date'
  return isDate ? 'the current Date' : undefined
}

/** `a.b`, or `a.b.c` as `b.c`. */
function memberOf({ expression, name }: PropertyAccessExpression): string {
  const object =
    expression.kind === SyntaxKind.PropertyAccessExpression
      ? (expression as PropertyAccessExpression).name
      : expression
  return `${(object as Identifier).text ?? ''}.${name.text}`
}

const UNWANTED_SYNTAX: ReadonlyMap<SyntaxKind, string> = new Map([
  [SyntaxKind.AnyKeyword, 'any'],
  [SyntaxKind.EnumDeclaration, 'an enum'],
  [SyntaxKind.ModuleDeclaration, 'a namespace'],
  [SyntaxKind.Decorator, 'a decorator'],
])

export function unwantedSyntax(sources: readonly Source[]): string[] {
  return sources.flatMap((source) =>
    [...nodesOf(source.tree)].flatMap((node) => {
      const what = UNWANTED_SYNTAX.get(node.kind)
      return what === undefined ? [] : [`${source.path}:${lineOf(source, node)} has ${what}`]
    }),
  )
}

/** In comments: what the compiler is told to overlook, and what was left for later. */
const UNWANTED_REMARKS = /@ts-(ignore|expect-error|nocheck)|\b(TODO|FIXME|XXX)\b/
/** A test may expect the compiler to find an error: it fails where there is none. */
const UNWANTED_IN_TESTS = /@ts-(ignore|nocheck)|\b(TODO|FIXME|XXX)\b/

export function unwantedRemarks(sources: readonly Source[]): string[] {
  return sources.flatMap((source) =>
    commentsOf(source).flatMap(({ offset, text }) => {
      const found = (source.path.startsWith('test/') ? UNWANTED_IN_TESTS : UNWANTED_REMARKS).exec(text)
      return found === null ? [] : [`${source.path}:${lineAt(source, offset + found.index)} says ${found[0]}`]
    }),
  )
}

const LITERALS: ReadonlySet<SyntaxKind> = new Set([
  SyntaxKind.StringLiteral,
  SyntaxKind.NoSubstitutionTemplateLiteral,
  SyntaxKind.TemplateHead,
  SyntaxKind.TemplateMiddle,
  SyntaxKind.TemplateTail,
  SyntaxKind.RegularExpressionLiteral,
])

/** What looks like a comment and does not stand in a literal. */
function commentsOf(source: Source): { readonly offset: number; readonly text: string }[] {
  const literals = [...nodesOf(source.tree)]
    .filter(({ kind }) => LITERALS.has(kind))
    .map((node) => ({ start: node.getStart(source.tree), end: node.end }))
  // Blanked out, so that every offset stays what it is.
  let code = source.text
  for (const { start, end } of literals)
    code = code.slice(0, start) + ' '.repeat(end - start) + code.slice(end)
  return [...code.matchAll(/\/\/[^\n]*|\/\*[\s\S]*?\*\//g)].map(({ index, 0: text }) => ({
    offset: index,
    text,
  }))
}

/** Only the command line ends the process; everything else throws. */
export function processExits(sources: readonly Source[]): string[] {
  return sources
    .filter(({ path }) => /^(src|protocols)\//.test(path) && !path.startsWith('src/cli/'))
    .flatMap((source) =>
      [...nodesOf(source.tree)]
        .filter(({ kind }) => kind === SyntaxKind.PropertyAccessExpression)
        .filter((node) =>
          /^process\.(exit|abort|reallyExit)$/.test(memberOf(node as PropertyAccessExpression)),
        )
        .map((node) => `${source.path}:${lineOf(source, node)} ends the process`),
    )
}

const FUNCTIONS: ReadonlySet<SyntaxKind> = new Set([SyntaxKind.ArrowFunction, SyntaxKind.FunctionExpression])
const CONDITIONS: ReadonlySet<SyntaxKind> = new Set([SyntaxKind.IfStatement, SyntaxKind.CatchClause])
const TEST_WORDS: ReadonlySet<string> = new Set(['describe', 'context', 'it', 'specify', 'test', 'suite'])
const OFF_WORDS: ReadonlySet<string> = new Set(['xdescribe', 'xcontext', 'xit', 'xspecify'])

/** A test that is narrowed or switched off without a condition is none. */
export function switchedOffTests(sources: readonly Source[]): string[] {
  return sources
    .filter(({ path }) => path.startsWith('test/'))
    .flatMap((source) => switchedOff(source, source.tree, false))
}

function switchedOff(source: Source, node: Node, conditional: boolean): string[] {
  const what = conditional ? undefined : offWord(node)
  const found = what === undefined ? [] : [`${source.path}:${lineOf(source, node)} ${what}`]
  // A condition around a suite is none for the tests in it: it holds up to the next function.
  let inside = conditional && !FUNCTIONS.has(node.kind)
  node.forEachChild((child) => {
    const decides = CONDITIONS.has(child.kind)
    found.push(...switchedOff(source, child, inside || decides))
    // What follows an `if` may be what its `return` leaves out.
    inside ||= decides
    return undefined
  })
  return found
}

function offWord(node: Node): string | undefined {
  if (node.kind !== SyntaxKind.CallExpression) return undefined
  const callee = (node as CallExpression).expression
  if (callee.kind === SyntaxKind.Identifier) {
    const { text } = callee as Identifier
    return OFF_WORDS.has(text) ? `switches a test off with ${text}` : undefined
  }
  if (callee.kind !== SyntaxKind.PropertyAccessExpression) return undefined
  const { expression, name } = callee as PropertyAccessExpression
  const isTest = expression.kind === SyntaxKind.Identifier && TEST_WORDS.has((expression as Identifier).text)
  if (isTest && name.text === 'only') return 'narrows the tests to one'
  const isThis = expression.kind === SyntaxKind.ThisKeyword
  return (isTest || isThis) && name.text === 'skip' ? 'skips without a condition' : undefined
}

/** Hosts that serve packages; a lockfile or a setting that names one ties everybody to it. Does not match itself. */
const PACKAGE_HOSTS =
  /registry\.[a-z0-9-]+\.[a-z]{2,}\b(?!\()|npm[m]irror|artifact[o]ry|jfrog\.i[o]|verdacci[o]/i
/** Home directories, but for those of nobody. */
const MACHINE_PATH = /(?:^|[\s"'`=(:])(?:\/(?:home|Users)\/(?!(?:me|you|user)\b)\w|\/root\/\w|[A-Z]:\\Users)/m

/** In any tracked text. `checkout` is the absolute path of the working tree. */
export function machineTraces(path: string, text: string, checkout: string): string[] {
  const traces: readonly (readonly [boolean, string])[] = [
    [PACKAGE_HOSTS.test(text), 'names a package registry'],
    [/^\s*"resolved":/m.test(text) && path.endsWith('package-lock.json'), 'says where packages came from'],
    [MACHINE_PATH.test(text), 'has the path of a home directory'],
    [checkout.length > 5 && text.includes(checkout), 'has the path of this checkout'],
  ]
  return traces.filter(([found]) => found).map(([, what]) => `${path} ${what}`)
}

/** What a program leaves behind when it runs in the checkout, and what is built there. */
const LEFTOVERS = /^\.(build|bench)|(^|\/)(node_modules|dist|coverage|peer-key|LOCK|wallets)(\/|$)|\.log$/

export function leftovers(paths: readonly string[]): string[] {
  return paths.filter((path) => LEFTOVERS.test(path))
}
