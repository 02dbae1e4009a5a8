import { closeSync } from 'node:fs'
import koffi from 'koffi'
import { Failure } from '../core/errors.ts'

/** Mounts by native calls, in process, because mount(8) costs ten times as much. */

const libc = koffi.load('libc.so.6')
const cMount = libc.func(
  'int mount(const char *from, const char *to, const char *type, ulong flags, const char *data)',
)
const cUnmount = libc.func('int umount2(const char *target, int flags)')
const cExchange = libc.func(
  'int renameat2(int fromAt, const char *from, int toAt, const char *to, uint flags)',
)
const cMakePipe = libc.func('int mkfifo(const char *path, uint mode)')
// These three have one number on every architecture, and no wrapper in older C libraries.
const callOpenTree = libc.func('syscall', 'long', ['long', 'int', 'str', 'uint'])
const callMoveMount = libc.func('syscall', 'long', ['long', 'int', 'str', 'int', 'str', 'uint'])
const callSetAttr = libc.func('syscall', 'long', ['long', 'int', 'str', 'uint', 'void *', 'ulong'])

const openTreeNumber = 428
const moveMountNumber = 429
const setAttrNumber = 442
const currentDirectory = -100
const cloneFlag = 0x1
const closeOnExecFlag = 0x80000
const emptyPathFlag = 0x1000
const moveFromEmptyPathFlag = 0x4
const readOnlyAttribute = 0x1n
const idmapAttribute = 0x100000n
const privatePropagation = 1n << 18n
const attributeBytes = 32
const detachFlag = 2
const exchangeFlag = 2

/**
 * Mounts an overlay; `lower` lies lowest first. The upper is `volatile`: nothing in it outlives
 * a power cut, and so neither an fsync of an app nor the unmount has to wait for the disk.
 */
export function mountOverlay(o: { lower: string[]; upper: string; work: string; target: string }) {
  const lower = o.lower.toReversed().map(escape).join(':')
  // Layers are re-used over other layers, which redirects and an index into one lower forbid.
  const data =
    `lowerdir=${lower},upperdir=${escape(o.upper)},workdir=${escape(o.work)},` +
    'index=off,metacopy=off,redirect_dir=off,volatile'
  if (Buffer.byteLength(data) > 4095) {
    throw new Failure('failed', `${o.lower.length} layers are more than one overlay can hold`)
  }
  check(cMount('overlay', o.target, 'overlay', 0, data), `mount an overlay at ${o.target}`)
}

/** Unmounts `target`; false when it was no mount, or is gone. Throws a system error otherwise. */
export function unmount(target: string, options: { detach?: boolean } = {}): boolean {
  if (cUnmount(target, options.detach ? detachFlag : 0) === 0) return true
  const code = koffi.errno()
  if (code === koffi.os.errno.EINVAL || code === koffi.os.errno.ENOENT) return false
  throw systemError(code, `unmount ${target}`)
}

/** Shows `source` again at `target`, its owners shifted by the map of a user namespace. */
export function mountIdmapped(
  source: string,
  target: string,
  { userNamespace, readOnly }: { userNamespace: number; readOnly: boolean },
): void {
  const flags = cloneFlag | closeOnExecFlag
  const opened = callOpenTree(openTreeNumber, currentDirectory, source, flags)
  const tree = check(opened, `clone the mount of ${source}`)
  try {
    const attributes = Buffer.alloc(attributeBytes)
    attributes.writeBigUInt64LE(idmapAttribute | (readOnly ? readOnlyAttribute : 0n), 0)
    attributes.writeBigUInt64LE(privatePropagation, 16)
    attributes.writeBigUInt64LE(BigInt(userNamespace), 24)
    check(
      callSetAttr(setAttrNumber, tree, '', emptyPathFlag, attributes, attributeBytes),
      `map the owners of ${source}`,
    )
    check(
      callMoveMount(moveMountNumber, tree, '', currentDirectory, target, moveFromEmptyPathFlag),
      `mount ${source} at ${target}`,
    )
  } finally {
    closeSync(tree)
  }
}

/** Lets two paths of one file system change places, at once. */
export function exchange(one: string, other: string): void {
  const result = cExchange(currentDirectory, one, currentDirectory, other, exchangeFlag)
  check(result, `exchange ${one} and ${other}`)
}

/** Makes a pipe with a name. */
export function makePipe(path: string, mode: number): void {
  check(cMakePipe(path, mode), `make a pipe at ${path}`)
}

/** Overlay takes `:` and `,` and `\` for its own. */
function escape(path: string): string {
  return path.replace(/[\\:,]/g, (character) => `\\${character}`)
}

function check(result: unknown, act: string): number {
  const value = Number(result)
  if (value < 0) throw systemError(koffi.errno(), act)
  return value
}

export function systemError(code: number, act: string): Error {
  const name = Object.entries(koffi.os.errno).find(([, value]) => value === code)?.[0]
  return Object.assign(new Error(`Could not ${act}: ${name ?? `errno ${code}`}`), { code: name })
}
