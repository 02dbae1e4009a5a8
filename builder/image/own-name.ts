import { Failure } from '../../core/errors.ts'
import { parseAppName, printable } from '../../core/names.ts'
import type { Image } from '../../core/types.ts'
import { sha256 } from './oci.ts'
import { parseReference } from './reference.ts'

/** A release of an app here, as an image to build on: `paas/shop`, `paas/shop:v3`. */
export type OwnName = {
  app: string
  /** The current one unless given. */
  version: number | undefined
}

/** Names of these are taken before any registry is asked. */
const prefix = 'paas/'

/** Pure. Undefined for what is a registry's; throws a usage Failure for what is neither. */
export function parseOwnName(text: string): OwnName | undefined {
  if (!text.startsWith(prefix)) return undefined
  const [app = '', tag, ...more] = text.slice(prefix.length).split(':')
  const version = tag === undefined ? undefined : Number(/^v(\d{1,9})$/.exec(tag)?.[1])
  if (more.length === 0 && !Number.isNaN(version)) return { app: parseAppName(app), version }
  throw new Failure('usage', `"${printable(text)}" is not a release of an app here`, {
    hint: 'Use a name like paas/shop, or paas/shop:v3 for exactly one',
  })
}

/** What a release is as a base: its layers and its environment. */
export function digestOfOwn({ layers, env }: Pick<Image, 'layers' | 'env'>): string {
  return sha256(JSON.stringify([layers.map(({ key }) => key), env]))
}

/** In the place of a base's name: none, but the stack. */
export const stackName = 'stack'

/** The text again, when it names what an app can be built on. Throws a usage Failure. */
export function parseBaseName(text: string): string {
  if (text !== stackName && !parseOwnName(text)) parseReference(text)
  return text
}
