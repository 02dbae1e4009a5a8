import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import type { PaasConfig } from '../../core/config.ts'
import { exec } from '../../core/exec.ts'
import { kernelNames } from '../../core/names.ts'

/** What the kernel holds for one instance: how many of each kind, processes by their name. */
export async function holdings(config: PaasConfig): Promise<Record<string, number>> {
  const { bridge, nftTable, builds, cgroupParent } = kernelNames(config)
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n')
  const tables = (await exec('nft', ['list', 'tables'])).stdout.split('\n')
  const inside = cgroupProcesses(cgroupParent)
  const ours = processes().filter(({ words }) => words.includes(config.run))
  return {
    mounts: mounts.filter((line) => line.includes(` ${config.run}/`)).length,
    bridges: existsSync(`/sys/class/net/${bridge}`) ? 1 : 0,
    ports: entries(`/sys/class/net/${bridge}/brif`).length,
    namespaces: new Set(inside.map(({ pid }) => netNamespace(pid))).size,
    tables: tables.filter((line) => line.endsWith(` ${nftTable}`)).length,
    cgroups: cgroups(cgroupParent.slice(1)).length,
    builds: cgroups(builds.slice(1)).filter((name) => !name.startsWith('/')).length,
    contained: inside.length,
    ...count(ours.map(({ name }) => name)),
  }
}

/** Processes in a cgroup or below it, or in that of its builds, whichever hierarchy holds it. */
export function cgroupProcesses(path: string): { pid: number; name: string }[] {
  return processes().filter(({ pid }) => {
    const text = read(`/proc/${pid}/cgroup`)
    return text.split('\n').some((line) => {
      const group = `${line.split(':')[2] ?? ''}/`
      return group.startsWith(`${path}/`) || group.startsWith(`${path}-builds/`)
    })
  })
}

function processes(): { pid: number; name: string; words: string }[] {
  return entries('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => ({
      pid: Number(pid),
      name: read(`/proc/${pid}/comm`).trim(),
      words: read(`/proc/${pid}/cmdline`),
    }))
    .filter(({ name }) => name !== '')
}

function netNamespace(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`)
  } catch {
    return '' // gone meanwhile
  }
}

/** The groups of the instance, in every hierarchy there is. */
function cgroups(name: string): string[] {
  const root = '/sys/fs/cgroup'
  const parents = [root, ...entries(root).map((hierarchy) => join(root, hierarchy))]
  return parents
    .map((parent) => join(parent, name))
    .flatMap((dir) => {
      if (!existsSync(join(dir, 'cgroup.procs'))) return []
      return entries(dir)
        .filter((entry) => /^[0-9a-f]{12}$/.test(entry))
        .concat(dir)
    })
}

function count(names: string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1
  return counts
}

function entries(dir: string): string[] {
  try {
    return readdirSync(dir)
  } catch {
    return []
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
