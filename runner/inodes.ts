import koffi from 'koffi'
import { systemError } from './kernel.ts'

/** Extended attributes and whiteouts by native calls: Node has none for them. */

const libc = koffi.load('libc.so.6')
const cList = libc.func('long llistxattr(const void *path, void *list, ulong size)')
const cGet = libc.func(
  'long lgetxattr(const void *path, const char *name, void *value, ulong size)',
)
const cSet = libc.func(
  'int lsetxattr(const void *path, const char *name, const void *value, ulong size, int flags)',
)
const cMakeNode = libc.func('int mknod(const void *path, uint mode, ulong device)')

const attributeBytes = 64 * 1024 // what the kernel allows for one, and for all names together
const space = Buffer.alloc(attributeBytes)
const characterDevice = 0o020000

/** Attributes of the file itself, by name; none where its file system knows none. */
export function attributes(path: Buffer): Record<string, Buffer> {
  const at = ended(path)
  const length = Number(cList(at, space, attributeBytes))
  if (length === 0) return {}
  if (length < 0) {
    if (koffi.errno() === koffi.os.errno.EOPNOTSUPP) return {}
    throw systemError(koffi.errno(), `list the attributes of ${path.toString()}`)
  }
  const names = space.toString('utf8', 0, length).split('\0').filter(Boolean)
  const found: Record<string, Buffer> = {}
  for (const name of names) {
    const bytes = Number(cGet(at, name, space, attributeBytes))
    if (bytes >= 0) found[name] = Buffer.from(space.subarray(0, bytes))
  }
  return found
}

export function setAttribute(path: Buffer, name: string, value: Buffer): void {
  if (Number(cSet(ended(path), name, value, value.length, 0)) === 0) return
  throw systemError(koffi.errno(), `set ${name} of ${path.toString()}`)
}

/** Makes the device 0:0, by which an overlay hides what lies below. */
export function makeWhiteout(path: Buffer): void {
  if (Number(cMakeNode(ended(path), characterDevice, 0)) === 0) return
  throw systemError(koffi.errno(), `make a whiteout at ${path.toString()}`)
}

const end = Buffer.alloc(1)

function ended(path: Buffer): Buffer {
  return Buffer.concat([path, end])
}
