import { closeSync, existsSync, openSync, readFileSync, readlinkSync } from 'node:fs'
import koffi from 'koffi'
import { Failure } from '../core/errors.ts'
import { kernelNames } from '../core/names.ts'
import type { InstanceSpec } from '../core/types.ts'
import { hardwareAddress, parseSubnet } from './address.ts'
import type { Host } from './host.ts'
import { systemError } from './kernel.ts'
import { cableMessages, networkMessages, noCableMessages } from './links.ts'
import { type Answer, decode, encode, type Message } from './netlink.ts'

/** Joins a container's network to the bridge by native calls: ip(8) takes four programs for it. */

const libc = koffi.load('libc.so.6')
const cSocket = libc.func('int socket(int family, int type, int protocol)')
const cSetOption = libc.func(
  'int setsockopt(int socket, int level, int name, const void *value, uint length)',
)
const cEnter = libc.func('int setns(int fd, int kind)')
const cSend = libc.func('long send(int socket, const void *bytes, ulong length, int flags)')
const cReceive = libc.func('long recv(int socket, void *bytes, ulong length, int flags)')

const netlinkFamily = 16
const rawType = 0x80003 // and closed at an exec
const netlinkLevel = 270
const shortAnswers = 10
const wordyAnswers = 11
const networkKind = 0x40000000
const notWaiting = 0x40
const datagramBytes = 8192
const ownNetwork = '/proc/thread-self/ns/net'

/**
 * Gives the container of that pid its link, its address and its way out; its program must not run
 * before. Throws a Failure; removeLink undoes what was done by then.
 */
export async function joinNetwork(
  host: Host,
  { id, process: name, address }: Pick<InstanceSpec, 'id' | 'process' | 'address'>,
  pid: number,
): Promise<void> {
  const { bridge, veth } = kernelNames(host.config)
  const { gateway, bits } = parseSubnet(host.config.subnet)
  try {
    using fds = new DisposableStack()
    const keep = (fd: number) => fds.adopt(fd, closeSync)
    const namespace = keep(openNamespace(pid))
    const cable = cableMessages({
      name: veth(id),
      bridge: numberIn(bridge, 'ifindex'),
      namespace,
      hardware: hardwareAddress(address),
    })
    await ask(keep(openSocket()), cable)
    const own = { link: numberIn(veth(id), 'iflink'), address, bits, gateway }
    await ask(keep(openSocketIn(namespace)), networkMessages(own))
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new Failure('failed', `Could not join ${name} to the network: ${why}`, { cause: error })
  }
}

/** Removes the host's end of a container's link, and so both; no error when there is none. */
export async function removeLink(name: string): Promise<void> {
  if (!existsSync(`/sys/class/net/${name}`)) return
  using fds = new DisposableStack()
  await ask(fds.adopt(openSocket(), closeSync), noCableMessages(name)).catch((error: unknown) => {
    if (existsSync(`/sys/class/net/${name}`)) throw error // else it went meanwhile
  })
}

/** A file descriptor of the network of `pid`, which must not be this process's own. */
function openNamespace(pid: number): number {
  const path = `/proc/${pid}/ns/net`
  if (readlinkSync(path) === readlinkSync(ownNetwork)) throw new Error('it has none of its own')
  return openSync(path, 'r')
}

/** What the host knows of a link: its own number (ifindex), or that of its other end (iflink). */
function numberIn(link: string, file: 'ifindex' | 'iflink'): number {
  return Number(readFileSync(`/sys/class/net/${link}/${file}`, 'utf8'))
}

/**
 * A socket stays in the network it was made in. This thread visits that network for one call and
 * nothing of ours runs meanwhile: there is no await in here, and the other threads stay at home.
 */
function openSocketIn(namespace: number): number {
  const home = openSync(ownNetwork, 'r')
  try {
    if (cEnter(namespace, networkKind) !== 0) throw systemError(koffi.errno(), 'enter its network')
    try {
      return openSocket()
    } finally {
      // Never seen; but were it so, only a new process would be back in the host's network.
      if (cEnter(home, networkKind) !== 0) process.abort()
    }
  } finally {
    closeSync(home)
  }
}

function openSocket(): number {
  const socket = Number(cSocket(netlinkFamily, rawType, 0))
  if (socket < 0) throw systemError(koffi.errno(), 'open a netlink socket')
  const on = Buffer.from([1, 0, 0, 0])
  // Words for what is wrong, where the kernel knows them.
  cSetOption(socket, netlinkLevel, shortAnswers, on, on.length)
  cSetOption(socket, netlinkLevel, wordyAnswers, on, on.length)
  return socket
}

/** Throws an error with the first thing that the kernel refused. */
async function ask(socket: number, messages: Message[]): Promise<void> {
  await send(socket, encode(messages))
  const refused = answers(socket, messages.length).find(({ errno }) => errno !== 0)
  if (!refused) return
  const { place, errno, text } = refused
  const words = text === '' ? '' : ` (${text})`
  throw systemError(errno, `do step ${place + 1} of ${messages.length}${words}`)
}

/** On a thread of its own: the kernel may first have to finish with somebody else's links. */
function send(socket: number, bytes: Buffer): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  cSend.async(socket, bytes, bytes.length, 0, (error: unknown, sent: unknown) => {
    if (error === null && Number(sent) === bytes.length) resolve()
    else reject(new Error('the kernel took no message', { cause: error }))
  })
  return promise
}

/** All answers are there when `send` returns, for the kernel does the work in that call. */
function answers(socket: number, count: number): Answer[] {
  const space = Buffer.alloc(datagramBytes)
  return Array.from({ length: count }, () => {
    const length = Number(cReceive(socket, space, datagramBytes, notWaiting))
    const answer = length > 0 ? decode(space.subarray(0, length)) : undefined
    if (!answer) throw new Error('the kernel gave no answer')
    return answer
  })
}
