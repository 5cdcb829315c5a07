/** "Did you mean …?": the known name most like a mistyped one. */
import { distance } from 'fastest-levenshtein'

/** More different than this part of its length, and a guess is no help. */
const DIFFERENCE_MAX = 0.4

export function nearest(name: string, known: readonly string[]): string | undefined {
  let best: { readonly name: string; readonly difference: number } | undefined
  for (const candidate of known) {
    const difference =
      distance(name.toLowerCase(), candidate.toLowerCase()) / Math.max(name.length, candidate.length)
    if (difference <= DIFFERENCE_MAX && difference < (best?.difference ?? 1))
      best = { name: candidate, difference }
  }
  return best?.name
}
