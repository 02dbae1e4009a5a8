import { Failure } from '../../core/errors.ts'
import { isProcessType, printable } from '../../core/names.ts'
import { shellText } from '../../core/shell-text.ts'
import type { ContainerUser, Image } from '../../core/types.ts'
import type { ForeignConfig } from './documents.ts'
import { processesLabel } from './oci.ts'

/** How the processes of a foreign image run, as it says itself. Pure. */

const idMost = 65_535

/**
 * `passwd` and `group` are the texts of the image's own files; `processes` run, where given, in
 * place of what the image says, by a shell of its.
 */
export function runSettings(
  config: ForeignConfig,
  files: { passwd: string; group: string },
  processes?: Record<string, string>,
): Omit<Image, 'layers' | 'language'> {
  const { home, ...user } = findUser(config.user, files)
  const port = lowestPort(config.ports)
  return {
    ...(processes ? { processes } : ownProcesses(config)),
    env: { HOME: home, ...environment(config.env) },
    workdir: config.workdir.startsWith('/') ? config.workdir : `/${config.workdir}`,
    user,
    ...(port !== undefined && { port }),
  }
}

function ownProcesses(config: ForeignConfig): Pick<Image, 'processes' | 'commands'> {
  const argv = [...config.entrypoint, ...config.cmd]
  if (argv.length === 0) {
    throw new Failure('failed', 'The image does not say what it runs', {
      hint: 'Give it an ENTRYPOINT or a CMD',
    })
  }
  const own = labelledProcesses(config)
  const main = !own || 'web' in own ? 'web' : (Object.keys(own).sort()[0] ?? 'web')
  return { processes: { ...own, [main]: shellText(argv) }, commands: { [main]: argv } }
}

/** `user`, `uid`, `user:group` and the like, as the image's own files know them. */
export function findUser(
  text: string,
  files: { passwd: string; group: string },
): ContainerUser & { home: string } {
  const [wanted = '', wantedGroup] = (text || 'root').split(':')
  const known = rows(files.passwd).find(([name, , uid]) => name === wanted || uid === wanted)
  const [name = '', , uid = wanted, ownGid = '0', , home = ''] = known ?? []
  const group = rows(files.group).find(([one, , gid]) => [one, gid].includes(wantedGroup))
  const gid = wantedGroup === undefined ? ownGid : (group?.[2] ?? wantedGroup)
  const isRoot = wanted === 'root' || uid === '0'
  const ids = { uid: isRoot && !known ? 0 : id(uid, 'user', wanted), gid: 0 }
  ids.gid = id(gid, 'group', wantedGroup ?? gid)
  const more = rows(files.group).filter(([, , , members = '']) => members.split(',').includes(name))
  const groups = wantedGroup === undefined && name ? more.map(([, , one = '']) => Number(one)) : []
  const others = groups.filter((one) => one !== ids.gid && one >= 0 && one <= idMost)
  const where = home.startsWith('/') ? home : isRoot ? '/root' : '/'
  return { ...ids, ...(others.length > 0 && { groups: others }), home: where }
}

function id(text: string, what: string, wanted: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) <= idMost) return Number(text)
  throw new Failure('failed', `The image runs as ${what} "${printable(wanted)}", whom it has not`, {
    hint: `Name a ${what} of the image's own files, or a number of at most ${idMost}`,
  })
}

/** Of `/etc/passwd` and `/etc/group`. */
function rows(text: string): string[][] {
  return text.split('\n').map((line) => line.split(':'))
}

/** The process types of an image that paas itself has made, or that is based on one. */
function labelledProcesses({ labels }: ForeignConfig): Record<string, string> | undefined {
  try {
    const value: unknown = JSON.parse(labels[processesLabel] ?? '')
    const entries = typeof value === 'object' && value !== null ? Object.entries(value) : []
    const good = entries.filter(([type, one]) => isProcessType(type) && typeof one === 'string')
    return good.length > 0
      ? Object.fromEntries(good.map(([type, one]) => [type, `${one}`]))
      : undefined
  } catch {
    return undefined
  }
}

/** `KEY=value` as an image's configuration has them. */
export function environment(pairs: string[]): Record<string, string> {
  const entries = pairs.map((pair): [string, string] => {
    const at = pair.indexOf('=')
    return at === -1 ? [pair, ''] : [pair.slice(0, at), pair.slice(at + 1)]
  })
  return Object.fromEntries(entries.filter(([key]) => key !== ''))
}

/** Which of several is meant nobody can say: the lowest is the same one every time. */
function lowestPort(ports: string[]): number | undefined {
  const tcp = ports.flatMap((text) => /^(\d{1,5})(\/tcp)?$/.exec(text)?.[1] ?? [])
  const numbers = tcp.map(Number).filter((port) => port >= 1 && port <= 65_535)
  return numbers.length > 0 ? Math.min(...numbers) : undefined
}
