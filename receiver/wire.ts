/** The SSH wire format (RFC 4251 §5): length-prefixed strings, and readers that cannot overrun. */

/** Splits a buffer into its strings; null when a length points past the end. */
export function readStrings(data: Buffer, most = 16): Buffer[] | null {
  const strings: Buffer[] = []
  let at = 0
  while (at < data.length && strings.length < most) {
    if (at + 4 > data.length) return null
    const end = at + 4 + data.readUInt32BE(at)
    if (end > data.length) return null
    strings.push(data.subarray(at + 4, end))
    at = end
  }
  return at === data.length ? strings : null
}

/** One length-prefixed string. */
export function sshString(data: Buffer | string): Buffer {
  const bytes = Buffer.from(data)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}
