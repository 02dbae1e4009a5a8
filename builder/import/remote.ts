import { appendFile } from 'node:fs/promises'
import { join } from 'node:path'
import { limits } from '../../core/config.ts'
import { Failure, stopIfCancelled } from '../../core/errors.ts'
import { exec } from '../../core/exec.ts'
import { maskAddresses } from '../../core/mask.ts'
import { printable } from '../../core/names.ts'

/** Fetches from repositories elsewhere: over https and ssh, bounded in time and size. */

export type Remote = {
  /** What git is given; it may hold a password. */
  url: string
  /** What people are shown. */
  shown: string
}

const fetchTimeoutMs = 10 * 60_000

/** Takes `https://…`, `ssh://…` and `git@host:path`; a Failure for anything else. */
export function parseRemote(text: string): Remote {
  const short = /^([\w.-]+@[A-Za-z0-9][\w.-]*):(?!\/\/)([^\x00-\x20\x7f]+)$/.exec(text)
  const url = short ? `ssh://${short[1]}/${short[2]?.replace(/^\/+/, '')}` : text
  const parsed = /^(https|ssh):\/\/[^\x00-\x20\x7f"\\]+$/.test(url) ? URL.parse(url) : null
  const host = parsed?.hostname ?? ''
  if (!parsed || !/^[A-Za-z0-9[]/.test(host) || parsed.username.startsWith('-')) {
    throw new Failure('usage', `"${printable(maskAddresses(text))}" is not fetched`, {
      hint: 'Use an address such as https://example.com/shop.git or ssh://git@example.com/shop.git',
    })
  }
  return { url, shown: maskAddresses(url) }
}

export type FetchRequest = {
  remote: Remote
  /** A bare repository of ours, which nobody else uses. */
  repo: string
  /** Name on the other side, or a commit's id; then our name for it. */
  from: string
  to: string
  /** As few commits as this, all of them without. */
  depth?: number
  /** `GIT_SSH_COMMAND` */
  ssh: string
}

/** Fetches one ref; a Failure with git's last words when that does not work. */
export async function fetchRef(request: FetchRequest, signal: AbortSignal): Promise<void> {
  const { remote, repo, from, to, depth } = request
  // In a file, for everybody may read arguments: git gives the address to a program of its own.
  await appendFile(join(repo, 'config'), asConfig(remote.url), { mode: 0o600 })
  const options = ['--quiet', '--no-tags', '--no-recurse-submodules', '--no-write-fetch-head']
  if (depth !== undefined) options.push(`--depth=${depth}`)
  const git = ['git', `--git-dir=${repo}`, ...settings, 'fetch', ...options]
  const bound = [`--fsize=${limits.pushBytes}`, '--']
  try {
    await exec('prlimit', [...bound, ...git, '--', 'origin', `+${from}:${to}`], {
      env: environment(request.ssh),
      signal,
      timeoutMs: fetchTimeoutMs,
    })
  } catch (error) {
    stopIfCancelled(signal)
    const why = error instanceof Failure ? lastWords(error.message) : String(error)
    throw new Failure('failed', `${remote.shown} could not be fetched: ${maskAddresses(why)}`, {
      hint: 'Over ssh it must know our key: git:public-key',
      cause: error,
    })
  }
}

/** Who logs in over https is told in a header, and not in the address. */
function asConfig(address: string): string {
  const url = new URL(address)
  const login = [url.username, url.password].map(decoded).join(':')
  if (url.protocol !== 'https:' || login === ':') return `[remote "origin"]\n\turl = "${address}"\n`
  url.username = ''
  url.password = ''
  const header = `Authorization: Basic ${Buffer.from(login).toString('base64')}`
  return `[remote "origin"]\n\turl = "${url.href}"\n[http]\n\textraHeader = "${header}"\n`
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text // a percent sign of its own
  }
}

const settings = [
  'protocol.allow=never',
  'protocol.https.allow=always',
  'protocol.ssh.allow=always',
  'http.followRedirects=initial',
  'http.lowSpeedLimit=1000',
  'http.lowSpeedTime=60',
  'core.hooksPath=/dev/null',
  'gc.auto=0',
].flatMap((value) => ['-c', value])

function environment(ssh: string): Record<string, string> {
  return {
    PATH: process.env.PATH ?? '',
    HOME: '/nonexistent',
    LANG: 'C.UTF-8',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_TERMINAL_PROMPT: '0',
    GIT_SSH_COMMAND: ssh,
  }
}

/** What git said, after the command line that our own sentence begins with. */
function lastWords(message: string): string {
  const said = message.split(/ exited with \d+: /)[1] ?? message
  const lines = said
    .split(' · ')
    .filter((line) => !/^(Please make sure|and the repository)/.test(line))
  const fatal = lines.findLast((line) => /^(fatal|error): /.test(line)) ?? lines.at(-1) ?? said
  return fatal.replace(/^(fatal|error): /, '')
}
