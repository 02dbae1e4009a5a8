import { isIPv4 } from 'node:net'
import { Failure } from '../../core/errors.ts'
import { maskAddresses } from '../../core/mask.ts'
import { printable } from '../../core/names.ts'

/** Names of images as everyone writes them: `[host[:port]/]path[:tag][@sha256:…]`. Pure. */

export type Reference = {
  /** `docker.io` where none is written; with its port. */
  host: string
  repository: string
  tag?: string
  digest?: string
}

const pathPart = '([a-z0-9]+(?:[._/-]+[a-z0-9]+)*)'
const tagPart = '(?::([A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?'
const pattern = new RegExp(`^${pathPart}${tagPart}(?:@(sha256:[0-9a-f]{64}))?$`)

/** Throws a usage Failure for what is no name of an image. */
export function parseReference(text: string): Reference {
  const slash = text.indexOf('/')
  const first = slash === -1 ? '' : text.slice(0, slash)
  const isHost = /[.:]/.test(first) || first === 'localhost'
  const host = isHost ? parseHost(first) : 'docker.io'
  const [, name, label, digest] = pattern.exec(isHost ? text.slice(slash + 1) : text) ?? []
  if (name === undefined || text.length > 500) {
    throw new Failure('usage', `"${printable(maskAddresses(text))}" is not the name of an image`, {
      hint: 'Use a name like registry.example.com/team/shop:v1, with @sha256:… for exactly one',
    })
  }
  const isOfficial = host === 'docker.io' && !name.includes('/')
  const repository = isOfficial ? `library/${name}` : name
  return { host, repository, ...(label && { tag: label }), ...(digest && { digest }) }
}

/** A registry's host, with its port where it has one. */
export function parseHost(text: string): string {
  const host = text.toLowerCase()
  if (/^(\[[0-9a-f:.]{2,45}\]|[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)(:\d{1,5})?$/.test(host)) {
    return host
  }
  throw new Failure('usage', `"${printable(maskAddresses(text))}" is not the host of a registry`, {
    hint: 'Use a name like registry.example.com or registry.example.com:5000',
  })
}

/** Whether a registry is of this machine itself. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/:\d+$/, '').replace(/^\[|\]$/g, '')
  if (name === 'localhost' || name.endsWith('.localhost')) return true
  if (/^(0*:)*:?0*1?$/.test(name) || name.startsWith('::ffff:')) return true
  return isIPv4(name) && /^(127|0)\./.test(name)
}

export function referenceText({ host, repository, tag, digest }: Reference): string {
  const short =
    host === 'docker.io' ? repository.replace(/^library\//, '') : `${host}/${repository}`
  return `${short}${tag ? `:${tag}` : ''}${digest ? `@${digest.slice(0, 19)}` : ''}`
}
