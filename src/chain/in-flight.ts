/** How long something that was sent may still arrive, for those who must not send it twice. */

/** Blocks after which an extrinsic is in the chain or never will be. At least the life that every adapter gives its own. */
export const IN_FLIGHT_BLOCKS = 64
