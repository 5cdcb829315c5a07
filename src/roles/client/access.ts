/** Which capability permits what of an object, and what a put hands out. */
import { equals } from 'uint8arrays'
import { SubnetError } from '../../base/errors.js'
import { type Capability, formatCapability } from '../../redundancy/capability.js'
import { fileCid } from '../../redundancy/file-dag.js'
import type { Manifest } from '../../redundancy/manifest.js'
import { maskCommitment, maskRootOf } from '../../redundancy/mask.js'
import type { PutRecord } from '../../transfer/put-journal.js'

/** What `Download.read` needs: the key of a private object. Throws where the capability is not this object's. */
export function keyFor(
  { maskCommitment: committed }: Manifest,
  capability: Capability,
): Uint8Array | undefined {
  const isRead = capability.kind === 'read'
  if (committed === undefined) {
    if (isRead)
      throw new SubnetError('MISMATCH', 'the object is public and has no key: read it by its address')
    return undefined
  }
  if (!isRead) throw notReadable()
  if (equals(maskCommitment(maskRootOf(capability.objectKey)), committed)) return capability.objectKey
  throw new SubnetError('MISMATCH', 'the key of this capability is not the key of this object')
}

export function notReadable(): SubnetError {
  return new SubnetError('INVALID', 'this capability does not permit reading: it has no key')
}

export function capabilitiesOf(
  { class: objectClass, objectKey }: Pick<PutRecord, 'class' | 'objectKey'>,
  address: Uint8Array,
): { readonly capability: string; readonly ownerCapability: string } {
  if (objectClass === 'private') {
    const capability = formatCapability({ kind: 'read', address, objectKey })
    return { capability, ownerCapability: capability }
  }
  return {
    capability: formatCapability({ kind: 'verify', address }),
    ownerCapability: formatCapability({ kind: 'own', address, ownerKey: objectKey }),
  }
}

export function fileCidOf({ sizeBytes, fileDigest }: Manifest): { readonly fileCid?: string } {
  return fileDigest === undefined ? {} : { fileCid: fileCid(sizeBytes, fileDigest).toString() }
}
