/** Where the salts of hidden weights are, for every process of this machine: nodes and commands share one journal per hotkey. */
import { join } from 'node:path'
import type { Config } from '../config/resolve.js'

export function weightsPath(config: Config): string {
  return join(config.get('db_root_path'), 'weights')
}
