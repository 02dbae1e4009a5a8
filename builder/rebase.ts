import { Failure } from '../core/errors.ts'
import type { Image, Layer } from '../core/types.ts'
import { type AptLayer, aptLayer } from './apt.ts'

/** An image on another stack, and the layers of Debian packages that it needs there. */
export type Rebased = { image: Image; apt: AptLayer[] }

/**
 * Puts an image on another stack of the same suite. Pure: it names layers and makes none. What the
 * app's own build made stays as it is; Debian packages are asked for anew, upon the new stack.
 * Failure: an image that has system files of somebody else's in it.
 */
export function rebase(image: Image, stack: Layer): Rebased {
  const [lowest] = image.layers
  if (image.base) {
    const { name, digest } = image.base
    const on = `it stands on its base ${name}@${digest.slice(0, 19)}`
    throw new Failure('failed', `${on}: ps:rebuild takes what has that name now`)
  }
  if (lowest?.kind !== 'stack' || image.layers.some(({ kind }) => kind === 'image')) {
    throw new Failure('failed', 'it came as an image, or of a Dockerfile', {
      hint: 'Bring a newer image, or build it again: ps:rebuild',
    })
  }
  const apt: AptLayer[] = []
  const base: [Layer, ...Layer[]] = [stack]
  const rest = image.layers.slice(1).map((layer) => {
    if (layer.kind !== 'apt') return layer
    const made = aptLayer([...base], layer.packages ?? [], layer.marks)
    if (!made)
      throw new Failure('failed', `the packages of "${layer.label}" are not known any more`)
    apt.push(made)
    base.push(made.layer)
    return made.layer
  })
  return { image: { ...image, layers: [stack, ...rest] }, apt }
}
