/** What the kernel's rtnetlink is told and answers, as bytes. Pure; in the machine's own order. */

/** A value with its type in front; one that holds others is given as their list. */
export type Attribute = { type: number; value: Part[] }
export type Part = Buffer | Attribute

/** One thing asked for. Each is answered by itself. */
export type Message = { type: number; flags: number; body: Part[] }

/** What the kernel answered to the message of that place: 0 when it is done. */
export type Answer = { place: number; errno: number; text: string }

const headerBytes = 16
const answered = 0x5 // a request that wants an answer
const errorType = 2
const textsFlag = 0x200
const textAttribute = 1

/** Messages in one buffer, which the kernel works through in this order. */
export function encode(messages: Message[]): Buffer {
  return Buffer.concat(
    messages.map(({ type, flags, body: parts }, place) => {
      const body = Buffer.concat(parts.map(bytesOf))
      const head = Buffer.alloc(headerBytes)
      head.writeUInt32LE(headerBytes + body.length, 0)
      head.writeUInt16LE(type, 4)
      head.writeUInt16LE(flags | answered, 6)
      head.writeUInt32LE(place, 8)
      return Buffer.concat([head, body])
    }),
  )
}

/** The answer in a datagram from the kernel; undefined for one that is none. */
export function decode(datagram: Buffer): Answer | undefined {
  if (datagram.length < headerBytes + 4 || datagram.readUInt16LE(4) !== errorType) return undefined
  const place = datagram.readUInt32LE(8)
  const errno = Math.abs(datagram.readInt32LE(headerBytes))
  const hasText = (datagram.readUInt16LE(6) & textsFlag) !== 0
  // The head of what was asked lies between the number and the words for it.
  const rest = datagram.subarray(headerBytes + 4 + headerBytes)
  return { place, errno, text: hasText ? textIn(rest) : '' }
}

export function attribute(type: number, ...value: Part[]): Attribute {
  return { type, value }
}

export function text(type: number, value: string): Attribute {
  return attribute(type, Buffer.from(`${value}\0`))
}

export function number32(type: number, value: number): Attribute {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return attribute(type, bytes)
}

export function number8(type: number, value: number): Attribute {
  return attribute(type, Buffer.from([value]))
}

function bytesOf(part: Part): Buffer {
  if (Buffer.isBuffer(part)) return part
  const value = Buffer.concat(part.value.map(bytesOf))
  const whole = Buffer.alloc(aligned(4 + value.length))
  whole.writeUInt16LE(4 + value.length, 0)
  whole.writeUInt16LE(part.type, 2)
  value.copy(whole, 4)
  return whole
}

function textIn(attributes: Buffer): string {
  for (let at = 0; at + 4 <= attributes.length;) {
    const length = attributes.readUInt16LE(at)
    if (length < 4) break
    if (attributes.readUInt16LE(at + 2) === textAttribute) {
      return attributes.toString('utf8', at + 4, at + length - 1)
    }
    at += aligned(length)
  }
  return ''
}

function aligned(bytes: number): number {
  return (bytes + 3) & ~3
}
