/** Cutting a byte stream of any piece sizes into pieces of one size, the last one shorter. */

/**
 * Yields buffers of exactly `sizeBytes`, then the rest if there is one; nothing for an empty stream. `isLast` is right on
 * every piece, which takes looking one piece ahead. Buffers are fresh: whoever gets one may keep it. What `source` gives is
 * copied before it is asked for more.
 */
export async function* cut(
  source: AsyncIterable<Uint8Array>,
  sizeBytes: number,
): AsyncGenerator<{ readonly bytes: Uint8Array; readonly isLast: boolean }> {
  let buffer = new Uint8Array(sizeBytes)
  let filled = 0
  for await (const piece of source) {
    let rest = piece
    while (rest.length > 0) {
      if (filled === sizeBytes) {
        yield { bytes: buffer, isLast: false }
        buffer = new Uint8Array(sizeBytes)
        filled = 0
      }
      const taken = rest.subarray(0, sizeBytes - filled)
      buffer.set(taken, filled)
      filled += taken.length
      rest = rest.subarray(taken.length)
    }
  }
  if (filled > 0) yield { bytes: buffer.subarray(0, filled), isLast: true }
}
