import { closeSync, constants, openSync } from 'node:fs'
import { createHash } from 'node:crypto'
import { opendir } from 'node:fs/promises'
import { join } from 'node:path'
import koffi from 'koffi'
import { systemError } from './kernel.ts'

/**
 * Project quotas by native calls (ext4, xfs): everything made below a directory is counted for the
 * number of its project, and a limit holds whoever writes, but for root of the host.
 */

const libc = koffi.load('libc.so.6')
const callQuota = libc.func('syscall', 'long', ['long', 'uint', 'uint', 'uint', 'void *'])
const callIoctl = libc.func('int ioctl(int fd, ulong request, void *argument)')

const quotaNumber = 443 // quotactl_fd has one number on every architecture, since Linux 5.14
const projectQuota = 2
const getState = 0x5805
const getQuota = 0x800007
const setQuota = 0x800008
const stateBytes = 80
const projectsEnforced = 1 << 5
const quotaBytes = 72
const bothHardLimits = 1 | 4
const blockBytes = 1024n // the unit of a limit, whatever the file system's own is
/** So many of the smallest files fill a limit: inodes are to run out for nobody else either. */
const bytesPerFile = 4096n

const getAttributes = 0x801c581f
const setAttributes = 0x401c5820
const attributeBytes = 28
const projectOffset = 12
const inheritsProject = 0x200

/** `limitBytes` is 0 where there is none. */
export type QuotaUse = { usedBytes: number; limitBytes: number }

/** The first project of an instance, from its tag, so that two on a host seldom meet. Pure. */
export function firstProject(tag: string): number {
  const hash = createHash('sha256').update(tag).digest().readUInt32BE()
  return firstOfAll + (hash % instancesMost) * projectsOfInstance
}

/** Why the file system of `path` keeps nobody to a limit, or undefined when it does. */
export function whyNoQuota(path: string): string | undefined {
  const state = Buffer.alloc(stateBytes)
  try {
    using file = open(path)
    quota(file.fd, getState, 0, state)
  } catch {
    return "the store's file system counts no project quotas"
  }
  if (state.readUInt16LE(2) & projectsEnforced) return undefined
  return "the store's file system is mounted without project quotas"
}

/**
 * Gives an empty directory a project of its own among those from `first` on, with a limit of
 * `bytes`, 0 for none. One that has a project keeps it. A project is free when nothing is counted
 * for it: that is the only book of them there is.
 */
export function limitDirectory(path: string, bytes: number, first: number): number {
  using directory = open(path)
  const attributes = readAttributes(directory.fd)
  const known = projectIn(attributes)
  const project = known || freeProject(directory.fd, first)
  setLimit(directory.fd, project, bytes)
  if (!known) writeProject(directory.fd, attributes, project)
  return project
}

/**
 * As limitDirectory, for one that has files already. Its own project is written last, so that a
 * walk that was cut off is done anew; then comes what was made meanwhile.
 */
export async function limitTree(path: string, bytes: number, first: number): Promise<void> {
  using directory = open(path)
  if (projectIn(readAttributes(directory.fd)) === 0) {
    const project = freeProject(directory.fd, first)
    await countBelow(directory.fd, project)
    writeProject(directory.fd, readAttributes(directory.fd), project)
    await countBelow(directory.fd, project)
  }
  limitDirectory(path, bytes, first)
}

/** What is counted for the directory's project; undefined when it has none. */
export function quotaUse(path: string): QuotaUse | undefined {
  using directory = open(path)
  const project = projectIn(readAttributes(directory.fd))
  return project === 0 ? undefined : useOf(directory.fd, project)
}

/** Takes the limit off: what is kept of the directory elsewhere may grow. */
export function liftLimit(path: string): void {
  using directory = open(path)
  const project = projectIn(readAttributes(directory.fd))
  if (project !== 0) setLimit(directory.fd, project, 0)
}

const projectsOfInstance = 65_536
const firstOfAll = 1_000_000_000
const instancesMost = 40_000
const lastTaken = new Map<number, number>()

/** Goes on after the one given last, so that none comes round again soon. */
function freeProject(fd: number, first: number): number {
  const last = lastTaken.get(first) ?? 0
  for (let step = 1; step <= projectsOfInstance; step++) {
    const offset = (last + step) % projectsOfInstance
    const { usedBytes, files } = useOf(fd, first + offset)
    if (usedBytes > 0 || files > 0) continue
    lastTaken.set(first, offset)
    return first + offset
  }
  throw new Error(`All ${projectsOfInstance} projects from ${first} on are in use`)
}

/**
 * Walks by open directories, following no link: an app may be changing the tree meanwhile. Links
 * and devices cannot be opened and stay uncounted.
 */
async function countBelow(parent: number, project: number): Promise<void> {
  for await (const entry of await opendir(throughFd(parent))) {
    if (!entry.isDirectory() && !entry.isFile()) continue
    try {
      using child = open(join(throughFd(parent), entry.name))
      const attributes = readAttributes(child.fd)
      if (projectIn(attributes) !== project)
        writeProject(child.fd, attributes, project, entry.isDirectory())
      if (entry.isDirectory()) await countBelow(child.fd, project)
    } catch (error) {
      if (!isGone(error)) throw error
    }
  }
}

function throughFd(fd: number): string {
  return `/proc/self/fd/${fd}`
}

function isGone(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  return ['ENOENT', 'ELOOP', 'ENXIO', 'ENOTDIR'].includes(code)
}

function open(path: string): { fd: number } & Disposable {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
  const fd = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  return { fd, [Symbol.dispose]: () => closeSync(fd) }
}

function readAttributes(fd: number): Buffer {
  const attributes = Buffer.alloc(attributeBytes)
  ioctl(fd, getAttributes, attributes)
  return attributes
}

function projectIn(attributes: Buffer): number {
  return attributes.readUInt32LE(projectOffset)
}

function writeProject(fd: number, attributes: Buffer, project: number, directory = true): void {
  const changed = Buffer.from(attributes)
  if (directory) changed.writeUInt32LE(attributes.readUInt32LE(0) | inheritsProject, 0)
  changed.writeUInt32LE(project, projectOffset)
  ioctl(fd, setAttributes, changed)
}

function useOf(fd: number, project: number): QuotaUse & { files: number } {
  const space = Buffer.alloc(quotaBytes)
  try {
    quota(fd, getQuota, project, space)
  } catch (error) {
    if (isGone(error)) return { usedBytes: 0, limitBytes: 0, files: 0 } // xfs has no such book yet
    throw error
  }
  return {
    limitBytes: Number(space.readBigUInt64LE(0) * blockBytes),
    usedBytes: Number(space.readBigUInt64LE(16)),
    files: Number(space.readBigUInt64LE(40)),
  }
}

function setLimit(fd: number, project: number, bytes: number): void {
  const limit = BigInt(Math.ceil(bytes))
  const space = Buffer.alloc(quotaBytes)
  space.writeBigUInt64LE((limit + blockBytes - 1n) / blockBytes, 0)
  space.writeBigUInt64LE((limit + bytesPerFile - 1n) / bytesPerFile, 24)
  space.writeUInt32LE(bothHardLimits, 64)
  quota(fd, setQuota, project, space)
}

function quota(fd: number, command: number, project: number, argument: Buffer): void {
  const operation = command * 256 + projectQuota
  if (Number(callQuota(quotaNumber, fd, operation, project, argument)) === 0) return
  throw systemError(koffi.errno(), 'use the quotas of a file system')
}

function ioctl(fd: number, request: number, argument: Buffer): void {
  if (Number(callIoctl(fd, request, argument)) === 0) return
  throw systemError(koffi.errno(), 'read or write the project of a directory')
}
