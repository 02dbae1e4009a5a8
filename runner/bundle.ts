import { chownSync, lstatSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { appUser } from '../core/config.ts'
import { errno, Failure } from '../core/errors.ts'
import { kernelNames, paths } from '../core/names.ts'
import type { Instance, InstanceSpec, Layer, Limits } from '../core/types.ts'
import { ensureBuildGroup } from './build-group.ts'
import { limitScratch } from './disk-limit.ts'
import { gateHook } from './gate.ts'
import type { Host } from './host.ts'
import { type Idmap, mapped, openIdmap } from './idmap.ts'
import { mountOverlay } from './kernel.ts'
import { ociSpec } from './spec.ts'

/**
 * A container on disk: its bundle, its writable directories, its root file system. All of it small
 * and in the kernel's memory, where asking another thread costs ten times what is asked for.
 */

/** What a bundle remembers of a started container, for whoever comes after this process. */
export type InstanceRecord = Instance & { startTime: number; limits: Limits }

/**
 * Makes the bundle and mounts the root. The bundle's directory comes first and goes last: as long
 * as anything of a container may exist, its name is there to be found (see removeInstance).
 */
export async function makeBundle(
  host: Host,
  spec: InstanceSpec,
  options: { gated?: boolean } = {},
): Promise<string> {
  const { config } = host
  const bundle = paths(config).bundle(spec.id)
  const idmap = await idmapOf(host, spec.app)
  mkdirSync(join(bundle, 'rootfs'), { recursive: true, mode: 0o710 })
  chownSync(bundle, 0, idmap?.base ?? appUser)
  mountRoot(host, spec, idmap)
  for (const { target } of spec.mounts ?? []) refuseFile(spec, join(bundle, 'rootfs'), target)
  await writeFiles(host, spec, { idmap, bundle, ...options })
  return bundle
}

/** Remembers that the container runs; written whole or not at all. */
export function writeRecord(host: Host, record: InstanceRecord): void {
  writeJson(join(paths(host.config).bundle(record.id), 'instance.json'), record)
}

/** What `writeRecord` wrote, or undefined when the container never came so far. */
export function readRecord(host: Host, id: string): InstanceRecord | undefined {
  const value = readJson(join(paths(host.config).bundle(id), 'instance.json'))
  return isRecord(value) ? value : undefined
}

/** Writes JSON beside `file` and renames it there. */
export function writeJson(file: string, value: unknown): void {
  writeFileSync(`${file}.new`, JSON.stringify(value), { mode: 0o600 })
  renameSync(`${file}.new`, file)
}

/** Reads JSON, undefined when there is no such file. */
export function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    // Half a file is what a power cut or a full disk leaves: as good as none.
    if (errno(error) === 'ENOENT' || error instanceof SyntaxError) return undefined
    throw error
  }
}

function idmapOf(host: Host, app: string): Promise<Idmap> | undefined {
  if (host.noUserNamespace !== undefined) return undefined
  let idmap = host.idmaps.get(app)
  if (!idmap) {
    // One at a time: each looks for a range that no other has taken.
    const before = [...host.idmaps.values()].at(-1)
    idmap = Promise.allSettled([before]).then(() => openIdmap(host.config, app))
    host.idmaps.set(app, idmap)
    idmap.catch(() => host.idmaps.delete(app))
  }
  return idmap
}

function mountRoot(host: Host, spec: InstanceSpec, idmap: Idmap | undefined): void {
  const { config } = host
  const p = paths(config)
  const at = (path: string) => mapped(config, idmap, path)
  const [upper, work] = [join(p.scratch(spec.id), 'upper'), join(p.scratch(spec.id), 'work')]
  mkdirSync(p.scratch(spec.id), { recursive: true })
  limitScratch(host, spec.id, spec.limits) // before there is anything that would not be counted
  mkdirSync(upper, { recursive: true })
  mkdirSync(work)
  try {
    mountOverlay({
      lower: onceEach(spec.layers).map((layer) => at(p.layer(layer))),
      upper: at(upper),
      work: at(work),
      target: join(p.bundle(spec.id), 'rootfs'),
    })
  } catch (error) {
    if (errno(error) !== 'ENOENT') throw error
    const labels = spec.layers.map((layer) => layer.label).join(', ')
    throw new Failure('failed', `A layer of ${spec.app} is missing (one of ${labels})`, {
      hint: `Push ${spec.app} again to build it anew`,
      cause: error,
    })
  }
}

/**
 * What stands on an image may bring a layer that this has already. Laid on top it says again what
 * it said below, so that the upper one is enough: the kernel takes none twice.
 */
function onceEach(layers: Layer[]): Layer[] {
  return layers.filter(({ key }, at) => layers.findLastIndex((one) => one.key === key) === at)
}

/**
 * The runtime would say the same in words of the kernel. A link on the way is its to follow, within
 * the container's root.
 */
function refuseFile(spec: InstanceSpec, root: string, target: string): void {
  let path = ''
  for (const name of target.split('/').filter(Boolean)) {
    path += `/${name}`
    const seen = lstatSync(join(root, path), { throwIfNoEntry: false })
    if (!seen || seen.isSymbolicLink()) return
    if (seen.isDirectory()) continue
    throw new Failure('failed', `${path} is a file of ${spec.app}: nothing can be mounted there`, {
      hint: 'Choose a path that is a directory, or is not there',
    })
  }
}

async function writeFiles(
  host: Host,
  spec: InstanceSpec,
  { idmap, bundle, gated }: { idmap: Idmap | undefined; bundle: string; gated?: boolean },
): Promise<void> {
  const { config } = host
  const names = kernelNames(config)
  if (spec.kind === 'build') await ensureBuildGroup(config)
  const json = ociSpec(spec, {
    idBase: idmap?.base,
    bundle,
    cgroup: spec.kind === 'build' ? names.buildCgroup(spec.id) : names.cgroup(spec.id),
    architecture: process.arch,
    init: host.programs.init,
    certificates: host.certificates,
    filesMax: host.filesMax,
    limitsSwap: host.limitsSwap,
    oomScore: host.oomScore,
    hook: gated ? gateHook(bundle) : undefined,
    mounts: (spec.mounts ?? []).map((mount) => {
      return Object.assign({}, mount, { source: mapped(config, idmap, mount.source) })
    }),
  })
  const hosts = `127.0.0.1 localhost\n::1 localhost\n${spec.address} ${spec.app}\n`
  // Secrets lie in the environment: for root alone.
  writeFileSync(join(bundle, 'config.json'), JSON.stringify(json), { mode: 0o600 })
  writeFileSync(join(bundle, 'hosts'), hosts)
  writeFileSync(join(bundle, 'hostname'), `${spec.app}\n`)
  writeFileSync(join(bundle, 'resolv.conf'), resolverFile())
}

const resolverFiles = ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf']

/** The host's own, if a container can reach its servers: loopback in there is not the host's. */
function resolverFile(): string {
  for (const file of resolverFiles) {
    const usable = withoutLoopback(readText(file))
    if (/^nameserver/m.test(usable)) return usable
  }
  return 'nameserver 1.1.1.1\nnameserver 9.9.9.9\n'
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

/** Drops name servers at loopback addresses. Pure. */
export function withoutLoopback(text: string): string {
  return text.replace(/^\s*nameserver\s+(127\.|::1).*\n?/gm, '')
}

function isRecord(value: unknown): value is InstanceRecord {
  if (typeof value !== 'object' || value === null) return false
  return 'id' in value && 'pid' in value && 'startTime' in value && 'limits' in value
}
