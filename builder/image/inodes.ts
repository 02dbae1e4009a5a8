/**
 * What a layer's files have that Node does not show: it comes from the runner, which has the native
 * calls. Paths are bytes, without an end mark. Each call throws a system error.
 */
export type Inodes = {
  /** Extended attributes of a file, the link's own where it is one; none where there are none. */
  attributes(path: Buffer): Record<string, Buffer>
  setAttribute(path: Buffer, name: string, value: Buffer): void
  /** Makes what hides the same name in the layers below an overlay. */
  makeWhiteout(path: Buffer): void
}

/** Marks a directory that hides all the layers below have under its name. */
export const opaqueAttribute = 'trusted.overlay.opaque'

/** What a container can see of attributes, and so what belongs to an image. */
export function isKept(attribute: string): boolean {
  if (attribute === 'security.capability') return true
  return attribute.startsWith('user.') && !attribute.startsWith('user.overlay.')
}
