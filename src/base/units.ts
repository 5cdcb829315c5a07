/** Sizes as people write and read them. */
import { SubnetError } from './errors.js'

export const KIB = 1024
export const MIB = 1024 * KIB
export const GIB = 1024 * MIB
export const TIB = 1024 * GIB

const UNIT_BYTES: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: KIB,
  kib: KIB,
  kb: 1e3,
  m: MIB,
  mib: MIB,
  mb: 1e6,
  g: GIB,
  gib: GIB,
  gb: 1e9,
  t: TIB,
  tib: TIB,
  tb: 1e12,
}

/** Bytes of "512MiB", "1.5 GiB", "64k" (binary) or "10MB" (decimal). Throws `CONFIG` on anything else. */
export function parseBytes(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim())
  const unitBytes = match === null ? undefined : UNIT_BYTES[(match[2] ?? '').toLowerCase()]
  const bytes = unitBytes === undefined ? Number.NaN : Math.floor(Number(match?.[1]) * unitBytes)
  if (!Number.isSafeInteger(bytes)) {
    throw new SubnetError('CONFIG', `"${text}" is not a size: write it like 512MiB, 1.5GiB or 10GB`)
  }
  return bytes
}

/** "64.0 MiB": one decimal, binary units. */
export function formatBytes(bytes: number): string {
  const steps: readonly (readonly [number, string])[] = [
    [TIB, 'TiB'],
    [GIB, 'GiB'],
    [MIB, 'MiB'],
    [KIB, 'KiB'],
  ]
  for (const [size, name] of steps) if (bytes >= size) return `${(bytes / size).toFixed(1)} ${name}`
  return `${bytes} B`
}

/** "1.4 s", "2 m 05 s". */
export function formatDuration(durationMs: number): string {
  if (durationMs < 60_000) return `${(durationMs / 1000).toFixed(1)} s`
  const seconds = Math.round(durationMs / 1000)
  return `${Math.floor(seconds / 60)} m ${String(seconds % 60).padStart(2, '0')} s`
}

/** 1 TAO (τ) is 10⁹ rao. */
const TAO_DECIMALS = 9

/** Rao of "1", "0.25" or "τ1.5". Throws `CONFIG` on anything else, and on more than nine decimals. */
export function parseTao(text: string): bigint {
  const [, whole, fraction = ''] = /^τ?(\d+)(?:\.(\d+))?$/.exec(text.trim()) ?? []
  if (whole === undefined || fraction.length > TAO_DECIMALS) {
    throw new SubnetError('CONFIG', `"${text}" is no amount of TAO: write it like 1 or 0.25`)
  }
  return BigInt(whole + fraction.padEnd(TAO_DECIMALS, '0'))
}

/** "τ1.25": without the zeros at the end, exact. */
export function formatTao(rao: bigint): string {
  const digits = rao.toString().padStart(TAO_DECIMALS + 1, '0')
  const fraction = digits.slice(-TAO_DECIMALS).replace(/0+$/, '')
  return `τ${digits.slice(0, -TAO_DECIMALS)}${fraction === '' ? '' : `.${fraction}`}`
}
