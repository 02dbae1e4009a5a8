import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { exec } from '../../core/exec.ts'

/** What of the kernel's the whole host holds, as sorted lines that can be compared. */
export type Holdings = Record<string, string[]>

export async function holdings(): Promise<Holdings> {
  return {
    mounts: readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .map((line) => line.split(' ')[4] ?? '')
      .sort(),
    links: (await lines('ip', ['-o', 'link'])).map((line) => line.split(':')[1] ?? '').sort(),
    namespaces: netNamespaces(),
    tables: (await lines('nft', ['list', 'tables'])).sort(),
    cgroups: cgroups(),
    processes: ['caddy', 'conmon', 'runc', 'catatonit'].map(
      (name) => `${name} ${processes().filter((one) => one.name === name).length}`,
    ),
  }
}

/** Processes in a cgroup or below it, whichever hierarchy holds it. */
export function cgroupProcesses(path: string): { pid: number; name: string }[] {
  return processes().filter(({ pid }) => {
    const text = read(`/proc/${pid}/cgroup`)
    return text.split('\n').some((line) => `${line.split(':')[2] ?? ''}/`.startsWith(`${path}/`))
  })
}

function processes(): { pid: number; name: string }[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  return pids
    .map((pid) => ({ pid: Number(pid), name: read(`/proc/${pid}/comm`).trim() }))
    .filter(({ name }) => name !== '')
}

function netNamespaces(): string[] {
  const seen = new Set<string>()
  for (const { pid } of processes()) {
    try {
      seen.add(readlinkSync(`/proc/${pid}/ns/net`))
    } catch {
      // gone meanwhile
    }
  }
  return [...seen].sort()
}

/** Cgroups of ours, down to one level, in every hierarchy there is. */
function cgroups(): string[] {
  const root = '/sys/fs/cgroup'
  const hierarchies = [root, ...readdirSync(root).map((name) => join(root, name))]
  const found = hierarchies
    .filter((dir) => existsSync(join(dir, 'cgroup.procs')))
    .flatMap((dir) =>
      readdirSync(dir)
        .filter((name) => name.startsWith('paas'))
        .map((name) => join(dir, name)),
    )
  return found.sort()
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

async function lines(file: string, args: string[]): Promise<string[]> {
  return (await exec(file, args)).stdout.split('\n')
}
