import { posix } from 'node:path'
import { Failure } from '../../core/errors.ts'
import { maskAddresses } from '../../core/mask.ts'
import { printable } from '../../core/names.ts'

/** Where a buildpack comes from: a git repository elsewhere, or a folder of the app's own. */
export type BuildpackAddress =
  | { kind: 'git'; url: string; ref: string; shown: string }
  | { kind: 'folder'; path: string; shown: string }

/** The list that is used, and who said so. */
export type BuildpackList = { addresses: string[]; from: string }

/** More than this in one app is a mistake. */
export const buildpacksMost = 20

/**
 * Reads `https://host/name.git#v1`, `git@host:name.git`, `ssh://…`, `heroku/nodejs` or `./folder`.
 * Throws a Failure for anything else; passwords are not shown.
 */
export function parseBuildpack(text: string): BuildpackAddress {
  const [address = '', ref = 'HEAD', ...more] = text.trim().split('#')
  const shown = printable(maskAddresses(address))
  if (more.length > 0 || !/^[A-Za-z0-9][\w./+-]{0,199}$/.test(ref)) {
    const all = printable(maskAddresses(text))
    throw new Failure('usage', `"${all}" has no branch, tag or commit behind its "#"`)
  }
  const heroku = /^heroku(?:-community)?\/([a-z0-9][a-z0-9-]*)$/.exec(address)?.[1]
  if (heroku) {
    const url = `https://github.com/heroku/heroku-buildpack-${heroku}.git`
    return { kind: 'git', url, ref, shown: url }
  }
  if (address.startsWith('./')) {
    const path = posix.normalize(address).replace(/\/$/, '')
    if (/^[\w.@+-]+(\/[\w.@+-]+)*$/.test(path) && !path.startsWith('..') && path !== '.') {
      return { kind: 'folder', path, shown }
    }
  }
  const isGit = /^(https|ssh):\/\/|^[\w.-]+@[A-Za-z0-9][\w.-]*:/.test(address)
  if (isGit && !/\.(tgz|tar\.gz|zip)$/.test(address) && !/[\x00-\x20\x7f"\\]/.test(address)) {
    return { kind: 'git', url: address, ref, shown: ref === 'HEAD' ? shown : `${shown}#${ref}` }
  }
  throw new Failure('usage', `"${shown}" is no address of a buildpack`, {
    hint: 'Use a git repository over https or ssh, such as https://example.com/pack.git#v1, or heroku/NAME',
  })
}
