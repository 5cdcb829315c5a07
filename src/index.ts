/** The library's only public door. */
import './base/platform.js'

export type { AbortOptions } from './base/abort.js'
export type { Clock } from './base/clock.js'
export { ERROR_CODES, type ErrorCode, type ErrorData, isSubnetError, SubnetError } from './base/errors.js'
export { createLogger, type Logger, type LogLevel } from './base/log.js'
export type { Random } from './base/random.js'
export type { Chain } from './chain/chain.js'
export { connectChain } from './chain/endpoint.js'
export {
  loadColdkey,
  loadColdkeyAddress,
  loadHotkey,
  loadHotkeyAddress,
  type WalletLocation,
} from './chain/wallet.js'
export { type ClientInit, type ClientOptions, createClient, type SubnetClient } from './node/client.js'
export {
  createNode,
  type NodeIdentity,
  type NodeInit,
  type NodeOptions,
  type SubnetNode,
} from './node/node.js'
export type { ObjectClass } from './redundancy/layout.js'
export type { ProfileName } from './redundancy/profiles.js'
export {
  type InitializePlan,
  initializeSubnet,
  planInitialize,
  type SubnetChanges,
} from './registration/initialize-subnet.js'
export { Intents } from './registration/intents.js'
export type { Plan, PlannedCall } from './registration/plan.js'
export {
  type HotkeyPlan,
  type HotkeyRequest,
  planHotkey,
  registerHotkey,
} from './registration/register-hotkey.js'
export {
  planSubnet,
  registerSubnet,
  type SubnetPlan,
  type SubnetRequest,
} from './registration/register-subnet.js'
export type { CarOptions, CarResult, GetResult, RenewResult, StorageClient } from './roles/client/client.js'
export type { ObjectStatus } from './roles/client/object-status.js'
export type { PutOptions, PutResult, PutSource } from './roles/client/put.js'
export type { AuditReport } from './roles/validator/auditor.js'
export type { WeightProvider } from './roles/validator/weight-rounds.js'
export type { WeightTarget } from './roles/validator/weights-plan.js'
export type { CarStart } from './transfer/car.js'
export type { ByteRange, DownloadOptions, DownloadProgress } from './transfer/download.js'
export type { PutJournal, PutRecord } from './transfer/put-journal.js'
export type { UploadOptions, UploadProgress } from './transfer/upload.js'
export type { HolderReport, UploadReport } from './transfer/upload-report.js'
