/**
 * The port to where a put remembers what a second run needs to go on. Not what was sent: the miners know that better.
 * Implementations: a file (`node/put-journal-file.ts`), whatever an embedder has.
 */
import type { ObjectClass } from '../redundancy/layout.js'
import type { ProfileName } from '../redundancy/profiles.js'
import type { UploadReport } from './upload-report.js'

export interface PutRecord {
  readonly class: ObjectClass
  /** 32 bytes. Whoever has it owns the object, and can read it if it is private: keep it as safe as a capability. */
  readonly objectKey: Uint8Array
  /** 16 bytes, the put's name at its validator. */
  readonly put: Uint8Array
  /** Hotkey of the validator that placed it. */
  readonly validator: Uint8Array
  readonly profile: ProfileName
  readonly createdUnixSeconds: number
  /** Set before a validator is asked to count the object: if it has, there is nothing left to do. */
  readonly committing?: UploadReport
}

/** One put's memory. The same bytes must be put again under it: the caller sees to that. */
export interface PutJournal {
  /** `undefined` when there is nothing to go on from. */
  load(): Promise<PutRecord | undefined>
  /** Durable when it resolves. */
  save(record: PutRecord): Promise<void>
  /** The put is done. */
  remove(): Promise<void>
}
