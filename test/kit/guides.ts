/** The commands in `docs/guides`, as somebody would type them one after the other. */
import { readFileSync } from 'node:fs'

export interface GuideCommand {
  /** Arguments of `npx subnet-node`. */
  readonly args: readonly string[]
  readonly line: string
}

export interface Guide {
  /** Set by `export` lines. */
  readonly env: Readonly<Record<string, string>>
  readonly commands: readonly GuideCommand[]
}

/** Throws for a line in a shell block that is neither an `export` nor a command of ours. */
export function readGuide(name: string): Guide {
  const text = readFileSync(`docs/guides/${name}.md`, 'utf8')
  const lines = [...text.matchAll(/^```sh\n([\s\S]*?)^```/gm)].flatMap(([, block = '']) =>
    block.trim().split('\n'),
  )
  const env: Record<string, string> = {}
  const commands: GuideCommand[] = []
  for (const line of lines) {
    const [, variable, value] = /^export (\w+)=(\S+)$/.exec(line) ?? []
    const [, words] = /^npx subnet-node (.+)$/.exec(line) ?? []
    if (variable !== undefined && value !== undefined) env[variable] = value
    else if (words !== undefined) commands.push({ args: words.split(' '), line })
    else throw new Error(`${name}.md has a line that nobody tries: ${line}`)
  }
  return { env, commands }
}
