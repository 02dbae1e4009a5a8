import { fileURLToPath } from 'node:url'
import { limits } from '../core/config.ts'

/** How git is run for a client: settings by `-c` and an environment made from nothing. */

export const hooksPath = fileURLToPath(new URL('hooks', import.meta.url))

/**
 * Settings every run of git on an app's repository gets; the repository's own cannot weaken them.
 */
const common = [
  'safe.directory=*', // the repositories are ours, whoever owns the directory above them
  'gc.auto=0',
  'core.hooksPath=/dev/null',
]

const receive = (hooks: string) => [
  `core.hooksPath=${hooks}`,
  'receive.shallowUpdate=true', // what CI pushes by default
  'receive.keepAlive=5',
  'receive.autogc=false',
  `receive.maxInputSize=${limits.pushBytes}`,
  'receive.denyCurrentBranch=ignore',
  'receive.denyDeletes=false', // the hook decides
  'receive.denyNonFastForwards=false',
  'transfer.fsckObjects=true',
  // Old and harmless faults that many a long-lived repository carries; the big hosts take them too.
  'receive.fsck.badTimezone=ignore',
  'receive.fsck.missingSpaceBeforeDate=ignore',
  'receive.fsck.zeroPaddedFilemode=ignore',
]

/** Arguments of `git` that receive a push into `repo`. */
export function receivePackArgs(repo: string, hooks: string = hooksPath): string[] {
  return [...settings([...common, ...receive(hooks)]), 'receive-pack', repo]
}

/** Arguments of `git` that serve a fetch from `repo`. */
export function uploadPackArgs(repo: string): string[] {
  return [...settings(common), 'upload-pack', '--strict', '--timeout=300', repo]
}

/** Arguments of `git` that make a bare repository at `path`. */
export function initArgs(path: string): string[] {
  const args = ['init', '--quiet', '--bare', '--template=', '--initial-branch=main', '--', path]
  return [...settings(common), ...args]
}

/**
 * The whole environment of a git process: nothing of the daemon's but `PATH`, nothing of the host's
 * git configuration. `protocol` is the client's `GIT_PROTOCOL`.
 */
export function gitEnvironment(protocol?: string): Record<string, string> {
  const env: Record<string, string> = {
    PATH: process.env['PATH'] || '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: '/nonexistent',
    LANG: 'C.UTF-8',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_TERMINAL_PROMPT: '0',
  }
  if (protocol && /^version=[0-2](:[\w=-]{1,64})?$/.test(protocol)) env['GIT_PROTOCOL'] = protocol
  return env
}

function settings(values: string[]): string[] {
  return values.flatMap((value) => ['-c', value])
}
