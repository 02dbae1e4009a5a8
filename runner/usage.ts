import { cgroupVersion, read } from './cgroup.ts'

/** What a container's control group has used, on version 1 and on version 2. */

export type Usage = {
  cpuSeconds: number
  memoryBytes: number
  memoryLimitBytes: number
  /** The most it ever had; on version 2 before Linux 5.19 only what it has now. */
  memoryPeakBytes: number
  pids: number
  /** Processes that the kernel has killed for want of memory. */
  oomKills: number
}

/** The files that are read, by what they tell; all but `cpu` and `events` hold one number. */
export type UsageFiles = Record<
  'cpu' | 'memory' | 'cache' | 'limit' | 'peak' | 'pids' | 'events',
  string | undefined
>

/** Undefined when there is no such group. A handful of small reads that the kernel answers. */
export function readUsage(path: string): Usage | undefined {
  const version = cgroupVersion()
  const names = fileNames[version]
  const files: UsageFiles = {
    cpu: read(version === 1 ? 'cpuacct' : 'cpu', path, names.cpu),
    memory: read('memory', path, names.memory),
    cache: read('memory', path, 'memory.stat'),
    limit: read('memory', path, names.limit),
    peak: read('memory', path, names.peak),
    pids: read('pids', path, 'pids.current'),
    events: read('memory', path, names.events),
  }
  return files.memory === undefined ? undefined : parseUsage(version, files)
}

/** Pure. Memory is without the cache of files that the kernel takes back first. */
export function parseUsage(version: 1 | 2, files: UsageFiles): Usage {
  const cpu = version === 1 ? number(files.cpu) / 1e9 : field(files.cpu, 'usage_usec') / 1e6
  const total = number(files.memory)
  const inactive = field(files.cache, version === 1 ? 'total_inactive_file' : 'inactive_file')
  const limit = files.limit === 'max' ? Infinity : number(files.limit)
  return {
    cpuSeconds: cpu,
    memoryBytes: Math.max(0, total - inactive),
    memoryLimitBytes: limit,
    memoryPeakBytes: files.peak === undefined ? total : number(files.peak),
    pids: number(files.pids),
    oomKills: field(files.events, 'oom_kill'),
  }
}

const fileNames = {
  1: {
    cpu: 'cpuacct.usage',
    memory: 'memory.usage_in_bytes',
    limit: 'memory.limit_in_bytes',
    peak: 'memory.max_usage_in_bytes',
    events: 'memory.oom_control',
  },
  2: {
    cpu: 'cpu.stat',
    memory: 'memory.current',
    limit: 'memory.max',
    peak: 'memory.peak',
    events: 'memory.events',
  },
} as const

function number(text: string | undefined): number {
  return Number(text ?? 0)
}

function field(text: string | undefined, name: string): number {
  const line = text?.split('\n').find((one) => one.startsWith(`${name} `))
  return Number(line?.slice(name.length + 1) ?? 0)
}
