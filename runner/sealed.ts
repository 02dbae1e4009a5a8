import {
  closeSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import koffi from 'koffi'
import { log } from '../core/log.ts'
import { systemError } from './kernel.ts'

/**
 * No container may write to the runtime (CVE-2019-5736). It sees to that by a mount and a second
 * start of itself, at each start, unless it lies in memory that is sealed (as runc's memfd-bind
 * says, https://github.com/opencontainers/runc/tree/main/contrib/cmd/memfd-bind).
 */

const libc = koffi.load('libc.so.6')
const cCreate = libc.func('int memfd_create(const char *name, uint flags)')
const cControl = libc.func('int fcntl(int fd, int command, int argument)')

const closeOnExec = 0x1
const sealable = 0x2
const executable = 0x10 // since Linux 6.3, where it must be said
const addSeals = 1033
const allSeals = 0xf // no more seals, no shrinking, no growing, no writing

/**
 * Returns what tells where a sealed copy of the program `file` is: below `directory`, for as long
 * as this process lives. It is copied again when the file has changed, as its package is updated.
 * Where the kernel lets no memory be run, that is `file` itself.
 */
export function sealProgram(file: string, directory: string): () => string {
  removeOthers(directory)
  let copy = { version: '', path: file }
  return () => {
    const { ino, mtimeMs, size } = statSync(file)
    const version = `${ino} ${mtimeMs} ${size}`
    if (version !== copy.version) copy = { version, path: sealedPath(file, directory) }
    return copy.path
  }
}

/** Those of processes that have ended lead nowhere. */
function removeOthers(directory: string): void {
  for (const pid of readdirSync(directory)) {
    if (!existsSync(`/proc/${pid}`)) rmSync(join(directory, pid), { recursive: true, force: true })
  }
}

/** Under the program's own name, by which it is found among the processes. */
function sealedPath(file: string, directory: string): string {
  try {
    const fd = sealedCopy(file)
    const folder = join(directory, String(process.pid), String(fd))
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(folder, { recursive: true })
    symlinkSync(`/proc/${process.pid}/fd/${fd}`, join(folder, basename(file)))
    return join(folder, basename(file))
  } catch (error) {
    log('program-unsealed', { file, why: String(error) })
    return file
  }
}

function sealedCopy(file: string): number {
  const fd = openMemory(file)
  try {
    writeFileSync(fd, readFileSync(file))
    if (Number(cControl(fd, addSeals, allSeals)) !== 0) throw failed('seal', file)
    return fd
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

function openMemory(file: string): number {
  for (const flags of [closeOnExec | sealable | executable, closeOnExec | sealable]) {
    const fd = Number(cCreate(file, flags))
    if (fd >= 0) return fd
  }
  throw failed('copy', file)
}

function failed(act: string, file: string): Error {
  return systemError(koffi.errno(), `${act} ${file} in memory`)
}
