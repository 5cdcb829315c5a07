/** Structured logging as a narrow interface; pino behind it, to stderr, so that stdout stays data. */
import { destination, pino } from 'pino'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'
export type LogFields = Readonly<Record<string, unknown>>

export interface Logger {
  /** The operator must act. */
  error(fields: LogFields, text: string): void
  /** May become one the operator must act on. */
  warn(fields: LogFields, text: string): void
  /** A sparse change of state. */
  info(fields: LogFields, text: string): void
  /** Per request. */
  debug(fields: LogFields, text: string): void
  child(fields: LogFields): Logger
}

export function createLogger(level: LogLevel, fields: LogFields = {}): Logger {
  return pino(
    { level, base: fields, timestamp: () => `,"time":"${new Date().toISOString()}"` },
    destination(2),
  )
}

/** A logger that keeps nothing. */
export const silentLogger: Logger = {
  error: () => undefined,
  warn: () => undefined,
  info: () => undefined,
  debug: () => undefined,
  child: () => silentLogger,
}
