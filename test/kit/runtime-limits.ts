/** Which conformance tests an older runtime cannot pass, and what it does instead: facts of `opentensor/subtensor`. */

type Limits = Readonly<Record<string, string>>

/** July 2025 (`do_burned_registration`, `sudo_set_min_allowed_weights` at commit f59e608b2). */
const SPEC_293: Limits = {
  'asks more for the next registration': 'spec 293 sets the price anew once an interval, not with each one',
  'lets its owner change a setting once in a while': 'spec 293 limits no owner’s settings',
  'prunes the least emission outside immunity when it is full; nobody finds the pruned any more':
    'spec 293 prunes the first of two without emission; why is not known',
}

const EVERY_BLOCK = 'spec 218 steps in every block and gives all of fewer than 64 neurons a permit'
const OTHER_NETWORK = 'spec 218: register_network takes another argument, there is no start_call'

const RECORD_RATE = 'spec 218 limits how often, not how much: CommitmentSetRateLimitExceeded'

/** January 2025, of a test network (`is_topk`, `validate` at commit 521fa9ab8; the other reasons as seen in a run). */
const SPEC_218: Limits = {
  ...SPEC_293,
  'lets its owner change a setting once in a while': OTHER_NETWORK,
  'is created, started when it is time, named and set up by its owner alone': OTHER_NETWORK,
  'costs more after each, and is refused to whoever cannot afford it': OTHER_NETWORK,
  'gives a permit for stake at the next epoch and not before, and none for nothing': EVERY_BLOCK,
  'prunes the least emission outside immunity when it is full; nobody finds the pruned any more': EVERY_BLOCK,
  'stakes for a registered hotkey, and for no other': 'spec 218 takes a stake of 1 rao',
  'keeps the last record of each hotkey': RECORD_RATE,
  'refuses commitments beyond the byte budget of the epoch, and takes them in the next': RECORD_RATE,
  'shows where a hotkey serves, and refuses strangers, unusable addresses and haste':
    'spec 218 refuses haste in the block, not in the pool',
  'refuses whoever has too little stake before it looks at anything else':
    'spec 218 looks at what the subnet takes and at the version key before the stake',
  'shows weights, and pays by them at the epoch':
    'spec 218 as it is here gives no incentive; why is not known',
}

/** Test titles and reasons; empty for runtimes after those that are known. */
export function olderThan(spec: number): Limits {
  if (spec <= 218) return SPEC_218
  return spec <= 300 ? SPEC_293 : {}
}
