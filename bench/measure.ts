/** What every figure shares: interleaved pairs, medians, and what the machine was doing meanwhile. */
import { readFileSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'

/** What one run of one side took. */
export interface Sample {
  readonly seconds: number
  /** CPU seconds of all processes that took part. */
  readonly cpuSeconds: number
}

/** Runs A and B in turn, `pairs` times each: what drifts on the machine hits both. */
export async function interleave(
  pairs: number,
  a: () => Promise<Sample>,
  b: () => Promise<Sample>,
): Promise<{ readonly a: readonly Sample[]; readonly b: readonly Sample[] }> {
  const [samplesA = [], samplesB = []] = await interleaveAll(pairs, [a, b])
  return { a: samplesA, b: samplesB }
}

/** As `interleave`, for any number of sides; the samples of each, in their order. */
export async function interleaveAll(
  rounds: number,
  sides: ReadonlyArray<() => Promise<Sample>>,
): Promise<readonly (readonly Sample[])[]> {
  const samples = sides.map((): Sample[] => [])
  for (let round = 0; round < rounds; round += 1) {
    for (const [i, side] of sides.entries()) samples[i]?.push(await side())
  }
  return samples
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((x, y) => x - y)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2
}

/** Median of the ratios pair by pair. */
export function medianRatio(a: readonly number[], b: readonly number[]): number {
  return median(a.map((value, i) => value / (b[i] ?? Number.NaN)))
}

/** Times `work` and adds the CPU that this process and `pids` spent on it. */
export async function sample(work: () => Promise<void>, pids: readonly number[] = []): Promise<Sample> {
  const before = { own: process.cpuUsage(), others: pids.map(cpuSecondsOf), ms: performance.now() }
  await work()
  const seconds = (performance.now() - before.ms) / 1000
  const own = process.cpuUsage(before.own)
  const others = pids.map((pid, i) => cpuSecondsOf(pid) - (before.others[i] ?? 0))
  return { seconds, cpuSeconds: (own.user + own.system) / 1e6 + others.reduce((sum, x) => sum + x, 0) }
}

/** Peak resident memory of a process, MiB (VmHWM). */
export function peakMiB(pid: number | 'self'): number {
  const line = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return Number(line?.[1] ?? Number.NaN) / 1024
}

export function machine(): string {
  const load = loadavg()
    .map((value) => value.toFixed(1))
    .join(' ')
  return `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'CPU'}, node ${process.version}, load ${load}`
}

/** Columns separated by two spaces, numbers to the right. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows
    .map((row) =>
      row
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
        .join('  '),
    )
    .join('\n')
}

/** User and system time of a process, from the kernel's own accounting. */
function cpuSecondsOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The command's name, in parentheses, may hold blanks; utime and stime are fields 14 and 15 of 52.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const ticksPerSecond = 100
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
}
