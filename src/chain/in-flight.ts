/** How long something that was sent may still arrive. Both adapters give their extrinsics this life and no longer. */

/** Blocks after which an extrinsic can no longer get into a block: the mortal era that @polkadot/api signs with. */
export const IN_FLIGHT_BLOCKS = 64
