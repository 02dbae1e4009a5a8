/** Tar archives that no tar program would make. */

export type TarEntry = {
  name: string
  type?: string
  body?: string | Buffer
  link?: string
  mode?: number
  /** What the header says, when it is not what there is. */
  size?: number
}

export function tarOf(entries: TarEntry[]): Buffer {
  return Buffer.concat([...entries.map(entryBytes), Buffer.alloc(1024)])
}

function entryBytes({ name, type = '0', body = '', link = '', mode = 0o644, size }: TarEntry) {
  const content = Buffer.from(body)
  const header = Buffer.alloc(512)
  header.write(name, 0, 100)
  header.write(`${mode.toString(8).padStart(7, '0')}\0`, 100)
  header.write(`${(size ?? content.length).toString(8).padStart(11, '0')}\0`, 124)
  header.write(`${(0).toString(8).padStart(11, '0')}\0`, 136)
  header.write('        ', 148)
  header.write(type, 156)
  header.write(link, 157, 100)
  header.write('ustar\x0000', 257, 'latin1')
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return Buffer.concat([header, content, Buffer.alloc((512 - (content.length % 512)) % 512)])
}
