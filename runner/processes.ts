import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { readProc, statFields } from '../core/processes.ts'

/** What /proc says of processes. Small synchronous reads: the kernel answers from memory. */

/** Whether an init has its program in a group of its own: before that, signals for it are lost. */
export function leadsProgram(pid: number): boolean {
  const children = readProc(`${pid}/task/${pid}/children`)
  if (children === undefined) return true // not to be seen on this kernel
  return children.split(' ').some((child) => child !== '' && groupOf(child) === Number(child))
}

/** Whether the process was given exactly this argument. */
export function hasArgument(pid: number, argument: string): boolean {
  return argumentsOf(String(pid)).includes(argument)
}

/** The pid in a file that the monitor or the runtime wrote, undefined before that. */
export function pidIn(file: string): number | undefined {
  const pid = Number(existsSync(file) ? readFileSync(file, 'utf8') : 'none')
  return pid > 0 ? pid : undefined
}

/** Processes of one of these programs that were given exactly this argument. */
export function processesWith(programs: string[], argument: string): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  const found = pids.filter((pid) => {
    const [program = '', ...given] = argumentsOf(pid)
    return programs.includes(basename(program)) && given.includes(argument)
  })
  return found.map(Number)
}

export type Socket = { address: string; port: number; state: 'listen' | 'open' | 'other' }

/** The TCP sockets of the process's network, IPv4 and IPv6. */
export function socketsOf(pid: number): Socket[] {
  const files = [readProc(`${pid}/net/tcp`), readProc(`${pid}/net/tcp6`)]
  return files.flatMap((text) => parseSockets(text ?? ''))
}

/** Reads the format of /proc/net/tcp and tcp6; pure. */
export function parseSockets(text: string): Socket[] {
  return text
    .split('\n')
    .slice(1)
    .filter(Boolean)
    .map((line) => {
      const [, local = '', , state = ''] = line.trim().split(/\s+/)
      const [address = '', port = ''] = local.split(':')
      return { address: parseAddress(address), port: parseInt(port, 16), state: stateOf(state) }
    })
}

/** Whether only the container itself can connect to such an address. */
export function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '[::1]'
}

function argumentsOf(pid: string): string[] {
  return readProc(`${pid}/cmdline`)?.split('\0') ?? []
}

function groupOf(pid: string): number {
  return Number(statFields(Number(pid))[2])
}

function stateOf(hex: string): Socket['state'] {
  if (hex === '0A') return 'listen'
  return hex === '01' || hex === '03' ? 'open' : 'other' // established, or about to be
}

/** Words of four bytes, each in the machine's own (little-endian) order. */
function parseAddress(hex: string): string {
  const words = hex.match(/.{8}/g) ?? []
  const bytes = words.flatMap((word) => [...Buffer.from(word, 'hex')].toReversed())
  if (bytes.length === 4) return bytes.join('.')
  const mapped = bytes.slice(0, 10).every((byte) => byte === 0) && bytes[10] === 255
  if (mapped) return bytes.slice(12).join('.')
  const last = bytes[15]
  if (bytes.slice(0, 15).every((byte) => byte === 0)) return last === 1 ? '[::1]' : '[::]'
  return `[${Buffer.from(bytes)
    .toString('hex')
    .replace(/(.{4})(?=.)/g, '$1:')}]`
}
