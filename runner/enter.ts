import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Failure, stopIfCancelled } from '../core/errors.ts'
import { logError } from '../core/log.ts'
import { kernelNames, newId, paths } from '../core/names.ts'
import type { Instance, WindowSize } from '../core/types.ts'
import { attach, type AttachedIo } from './attach.ts'
import { cgroupVersion, childGroups, killCgroup, makeGroup, removeCgroup } from './cgroup.ts'
import type { Host } from './host.ts'
import { pidIn } from './processes.ts'
import { lastWords, rootArguments } from './runtime.ts'
import { terminalOf } from './spec.ts'

/** A further program in a container that runs: `enter`. */

const prefix = 'enter-'

/**
 * Runs a program in the container to its end and returns its exit status. It is what the app's own
 * process is: the same user, environment, limits and seccomp profile, no capabilities. Whatever it
 * leaves behind is killed, also by an abort or the deadline, which end in a Failure.
 */
export async function enterInstance(
  host: Host,
  instance: Pick<Instance, 'id' | 'process'>,
  program: { argv: string[]; env: Record<string, string> },
  io: AttachedIo,
): Promise<number> {
  stopIfCancelled(io.signal)
  const { id } = instance
  const name = `${prefix}${newId()}`
  const group = `${kernelNames(host.config).cgroup(id)}/${name}`
  const bundle = paths(host.config).bundle(id)
  const [description, pidFile] = [join(bundle, `${name}.json`), join(bundle, `${name}.pid`)]
  try {
    await makeGroup(group)
    const json = await describe(bundle, program, 'terminal' in io ? io.terminal : undefined)
    await writeFile(description, JSON.stringify(json), { mode: 0o600 }) // it holds the environment
    const log = join(bundle, `${name}.log`)
    const args = [
      ...[...rootArguments(host), '--log', log, '--log-format', 'json', 'exec'],
      // A control group of its own is what finds all it has started, in whatever session.
      ...['--cgroup', cgroupVersion() === 2 ? name : `pids:${name}`],
      ...['--pid-file', pidFile, '--process', description, id],
    ]
    const code = await attach(host.programs.runc(), args, `the program in ${instance.process}`, io)
    if (pidIn(pidFile) !== undefined) return code
    const said = await lastWords(log)
    // The runtime has told the client; the status is the one that every shell gives.
    if (/executable file not found|no such file/.test(said)) return 127
    const why = said.replace(/^exec failed: /, '')
    throw new Failure('failed', `Could not start the program in ${instance.process}: ${why}`)
  } finally {
    await leave(group)
    for (const kind of ['json', 'pid', 'log'])
      await rm(join(bundle, `${name}.${kind}`), { force: true })
  }
}

/** Ends what a killed daemon's clients had running in these containers. */
export async function sweepEntered(host: Host, ids: string[]): Promise<void> {
  const { cgroup } = kernelNames(host.config)
  for (const id of ids) {
    const left = childGroups(cgroup(id)).filter((name) => name.startsWith(prefix))
    for (const name of left) {
      await leave(`${cgroup(id)}/${name}`).catch((error) => logError('entered-left', error, { id }))
    }
  }
}

async function leave(group: string): Promise<void> {
  await killCgroup(group)
  await removeCgroup(group)
}

/** The process of the container's own description, with another program. */
async function describe(
  bundle: string,
  program: { argv: string[]; env: Record<string, string> },
  terminal: WindowSize | undefined,
): Promise<unknown> {
  const spec: unknown = JSON.parse(await readFile(join(bundle, 'config.json'), 'utf8'))
  const own = isSpec(spec) ? spec.process : undefined
  if (!own) throw new TypeError('the container has no description of its process')
  const env = Object.entries(program.env).map(([key, value]) => `${key}=${value}`)
  return { ...own, ...terminalOf(terminal), args: program.argv, env: [...own.env, ...env] }
}

type Spec = { process: { args: string[]; env: string[] } }

function isSpec(value: unknown): value is Spec {
  if (typeof value !== 'object' || value === null || !('process' in value)) return false
  const own = value.process
  if (typeof own !== 'object' || own === null) return false
  return 'args' in own && 'env' in own && Array.isArray(own.env)
}
