/** The headers of a tar archive: ustar, and pax records for what does not fit. Pure. */

export type TarEntry = {
  /** Bytes as latin1 text, without a leading or trailing slash. */
  path: string
  kind: 'file' | 'directory' | 'symlink' | 'hardlink' | 'fifo'
  /** Permission bits, setuid and sticky ones included. */
  mode: number
  uid: number
  gid: number
  /** Bytes of content that follow the header; 0 for all but files. */
  size: number
  /** What a link leads to, as bytes in latin1 text. */
  target?: string
  /** Extended attributes, by name. */
  attributes?: Record<string, Buffer>
}

export const blockBytes = 512

/** Header blocks of an entry. Equal entries have equal headers: the time is always the epoch. */
export function tarHeader(entry: TarEntry): Buffer {
  const name = entry.kind === 'directory' ? `${entry.path}/` : entry.path
  const target = entry.target ?? ''
  const place = split(name)
  const records: [string, Buffer][] = []
  if (!place) records.push(['path', bytes(name)])
  if (target.length > linkBytes) records.push(['linkpath', bytes(target)])
  for (const key of ['uid', 'gid'] as const) {
    if (entry[key] > octalMost(8)) records.push([key, bytes(String(entry[key]))])
  }
  if (entry.size > octalMost(12)) records.push(['size', bytes(String(entry.size))])
  for (const [key, value] of Object.entries(entry.attributes ?? {}).sort(byName)) {
    records.push([`SCHILY.xattr.${key}`, value])
  }
  const { name: short, prefix } = place ?? { name: name.slice(-nameBytes), prefix: '' }
  const own = block({ ...entry, name: short, prefix, target: target.slice(0, linkBytes) })
  return records.length === 0 ? own : Buffer.concat([...pax(records), own])
}

/** What ends an archive. */
export const tarEnd = Buffer.alloc(2 * blockBytes)

/** Bytes of padding behind `size` bytes of content. */
export function padding(size: number): number {
  return (blockBytes - (size % blockBytes)) % blockBytes
}

const nameBytes = 100
const prefixBytes = 155
const linkBytes = 100
const flags = { file: '0', hardlink: '1', symlink: '2', directory: '5', fifo: '6', pax: 'x' }

type Block = Omit<TarEntry, 'kind' | 'path'> & {
  kind: keyof typeof flags
  name: string
  prefix: string
}

function block({ kind, name, prefix, mode, uid, gid, size, target = '' }: Block): Buffer {
  const head = Buffer.alloc(blockBytes)
  head.write(name, 0, 'latin1')
  octal(head, 100, 8, mode)
  octal(head, 108, 8, Math.min(uid, octalMost(8)))
  octal(head, 116, 8, Math.min(gid, octalMost(8)))
  octal(head, 124, 12, Math.min(size, octalMost(12)))
  octal(head, 136, 12, 0)
  head.fill(' ', 148, 156)
  head.write(flags[kind], 156, 'latin1')
  head.write(target, 157, 'latin1')
  head.write('ustar\x0000', 257, 'latin1')
  head.write(prefix, 345, 'latin1')
  const sum = head.reduce((total, byte) => total + byte, 0)
  head.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return head
}

function pax(records: [string, Buffer][]): Buffer[] {
  const content = Buffer.concat(records.map(([key, value]) => paxRecord(key, value)))
  const size = content.length
  const head = { name: 'PaxHeaders/entry', prefix: '', mode: 0o644, uid: 0, gid: 0, size }
  return [block({ ...head, kind: 'pax' }), content, Buffer.alloc(padding(size))]
}

/** `<length> <key>=<value>\n`, where the length counts its own digits too. */
function paxRecord(key: string, value: Buffer): Buffer {
  const rest = key.length + value.length + 3
  let length = rest + String(rest).length
  if (rest + String(length).length !== length) length = rest + String(length).length
  return Buffer.concat([bytes(`${length} ${key}=`), value, bytes('\n')])
}

/** At a slash, so that both parts fit; undefined when no slash allows it. */
function split(name: string): { name: string; prefix: string } | undefined {
  if (name.length <= nameBytes) return { name, prefix: '' }
  const at = name.indexOf('/', name.length - nameBytes - 1)
  if (at <= 0 || at > prefixBytes || at === name.length - 1) return undefined
  return { name: name.slice(at + 1), prefix: name.slice(0, at) }
}

function octal(head: Buffer, at: number, width: number, value: number): void {
  head.write(`${value.toString(8).padStart(width - 1, '0')}\0`, at, 'latin1')
}

function octalMost(width: number): number {
  return 8 ** (width - 1) - 1
}

function bytes(text: string): Buffer {
  return Buffer.from(text, 'latin1')
}

function byName([a]: [string, unknown], [b]: [string, unknown]): number {
  return a < b ? -1 : 1
}
