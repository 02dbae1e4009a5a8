import { Failure } from '../../core/errors.ts'
import type { Image, Layer } from '../../core/types.ts'
import { type AptLayer, aptLayer } from './apt.ts'
import { caddyIn } from '../runtimes/caddy.ts'

/** What there is of Debian today. */
export type Today = { stack: Layer; caddy: Layer }

/** An image on another stack, and the layers of Debian packages that it needs there. */
export type Rebased = { image: Image; apt: AptLayer[] }

/**
 * Puts an image on another stack of the same suite, with today's web server where it has one. Pure:
 * it names layers and makes none. What the app's own build made stays as it is; Debian packages are
 * asked for anew, upon the new stack. `installs` tells of a layer that somebody else's commands
 * made whether Debian packages were installed in it, which then belong to one stack alone. Failure:
 * an image that cannot be put on another stack.
 */
export function rebase(
  image: Image,
  { stack, caddy }: Today,
  installs: (layer: Layer) => boolean,
): Rebased {
  if (image.layers[0]?.key !== stack.key) refuseUnmovable(image, installs)
  const apt: AptLayer[] = []
  const base: [Layer, ...Layer[]] = [stack]
  const rest = image.layers.slice(1).map((layer) => {
    if (caddyIn(layer) === 'same settings') return caddy
    if (layer.kind !== 'apt' || image.layers[0]?.key === stack.key) return layer
    const made = aptLayer([...base], layer.packages ?? [], layer.marks)
    if (!made)
      throw new Failure('failed', `the packages of "${layer.label}" are not known any more`)
    apt.push(made)
    base.push(made.layer)
    return made.layer
  })
  return { image: { ...image, layers: [stack, ...rest] }, apt }
}

function refuseUnmovable({ base, layers }: Image, installs: (layer: Layer) => boolean): void {
  if (base) {
    const on = `it stands on its base ${base.name}@${base.digest.slice(0, 19)}`
    throw new Failure('failed', `${on}: ps:rebuild takes what has that name now`)
  }
  if (layers[0]?.kind !== 'stack') {
    const seen = 'it came as an image, or of a Dockerfile that was not on the stack'
    throw new Failure('failed', `${seen}: bring a newer image, or ps:rebuild`)
  }
  if (!layers.some((layer) => layer.kind === 'image' && installs(layer))) return
  throw new Failure('failed', 'its Dockerfile installs Debian packages: ps:rebuild does it anew')
}
