import { createServer, isIPv6, type Server, type Socket } from 'node:net'
import ssh2, { type Connection } from 'ssh2'
import { limits } from '../core/config.ts'
import { errno, Failure } from '../core/errors.ts'
import { log } from '../core/log.ts'
import type { Identity } from '../core/types.ts'
import { algorithms } from './algorithms.ts'
import { guardLogin } from './auth.ts'
import { serveChannel } from './channel.ts'
import { acknowledgeAtOnce } from './quick-ack.ts'
import type { Doors } from './session.ts'

export type SshOptions = {
  /** 0 takes a free one. */
  port: number
  /** Every address unless given. */
  host?: string
  /** Private keys in OpenSSH format, from `hostKeys`. */
  hostKeys: string[]
  connections?: number
  connectionsPerAddress?: number
  channelsPerConnection?: number
  loginGraceMs?: number
  loginTries?: number
  /**
   * A client that answers none of three probes, this far apart, is cut off, and as often it is
   * looked whether its key still lets it in.
   */
  keepAliveMs?: number
}

export type SshServer = { port: number; close: () => Promise<void> }

/** OpenSSH clients send `eow@openssh.com` only to a server that looks like theirs. */
const ident = 'OpenSSH_9.9 paas'

const keepAliveProbes = 3
const leaveTimeoutMs = 3000
const closeTimeoutMs = 5000

/**
 * Listens for SSH and serves each channel through `doors`. Connections are counted and timed before
 * ssh2 sees them, for it has no limits before login.
 * Throws a Failure when the port cannot be had.
 */
export async function listenSsh(options: SshOptions, doors: Doors): Promise<SshServer> {
  const state: State = {
    options: { ...defaults, ...options },
    doors,
    peers: new Map(),
    running: new Set(),
  }
  const inner = new ssh2.Server({
    hostKeys: options.hostKeys,
    ident,
    algorithms,
    keepaliveInterval: state.options.keepAliveMs,
    keepaliveCountMax: keepAliveProbes,
  })
  inner.on('error', (error: Error) => log('ssh server error', { error: error.message }))
  inner.on('connection', (client, info) => {
    const peer = state.peers.get(`${info.ip} ${info.port}`)
    if (peer) welcome(client, peer, state)
    else client.end()
  })
  const front = createServer({ noDelay: true }, (socket) => admit(socket, inner, state))
  await listen(front, state.options)
  front.on('error', (error) => log('ssh listener error', { error: error.message }))
  const address = front.address()
  const port = address !== null && typeof address === 'object' ? address.port : options.port
  return { port, close: () => close(front, state) }
}

const defaults = {
  connections: limits.sshConnections as number,
  connectionsPerAddress: limits.sshConnectionsPerAddress as number,
  channelsPerConnection: limits.sshChannels as number,
  loginGraceMs: limits.sshLoginGraceMs as number,
  loginTries: limits.sshLoginTries as number,
  keepAliveMs: 15_000,
}

type State = {
  options: SshOptions & typeof defaults
  doors: Doors
  /** By address and port of the client's end. */
  peers: Map<string, Peer>
  /** The requests being served, so that `close` can wait for them. */
  running: Set<Promise<void>>
}

type Peer = { socket: Socket; address: string; gone: AbortController; loggedIn: () => void }

function admit(socket: Socket, inner: InstanceType<typeof ssh2.Server>, state: State): void {
  const { options, peers } = state
  socket.on('error', () => {}) // ssh2 listens too, once it has the socket
  const ip = socket.remoteAddress
  if (ip === undefined) return void socket.destroy() // gone before we looked
  const address = network(ip)
  const near = [...peers.values()].filter((peer) => peer.address === address).length
  if (peers.size >= options.connections || near >= options.connectionsPerAddress) {
    log('ssh connection refused', { address, connections: peers.size, near })
    socket.end('Too many connections\r\n')
    return void socket.destroySoon()
  }
  const grace = setTimeout(() => socket.destroy(), options.loginGraceMs)
  const gone = new AbortController()
  const key = `${ip} ${socket.remotePort}`
  const loggedIn = () => {
    clearTimeout(grace)
    waitAgain()
  }
  peers.set(key, { socket, address, gone, loggedIn })
  socket.once('close', () => {
    clearTimeout(grace)
    peers.delete(key)
    gone.abort(new Failure('failed', 'The client disconnected'))
  })
  inner.injectSocket(socket)
  const waitAgain = acknowledgeAtOnce(socket) // after ssh2, whose answers carry theirs
}

/** What counts as one address: an IPv6 customer has 2^64 of them. */
function network(ip: string): string {
  return isIPv6(ip) && !ip.startsWith('::ffff:') ? ip.split(':').slice(0, 4).join(':') : ip
}

function welcome(client: Connection, peer: Peer, state: State): void {
  const { options, doors, running } = state
  const { socket, address, gone } = peer
  const lose = () => {
    gone.abort(new Failure('failed', 'The client disconnected'))
    socket.destroy() // ssh2 only half-closes, and a dead peer never answers that
  }
  client.on('error', lose)
  client.on('end', lose)
  const expel = () => {
    log('ssh connection ended', { address, why: 'its key was removed' })
    lose()
  }
  let channels = 0
  const { loginTries: tries } = options
  const onLogin = (whoIsIt: () => Identity | null) => {
    peer.loggedIn()
    const watch = setInterval(() => whoIsIt() ?? expel(), options.keepAliveMs)
    gone.signal.addEventListener('abort', () => clearInterval(watch), { once: true })
    client.on('session', (accept, reject) => {
      const identity = whoIsIt()
      if (!identity) return expel()
      if (channels >= options.channelsPerConnection) return reject()
      const link = { socket, identity, gone: gone.signal, doors }
      const session = accept()
      channels += 1
      session.on('close', () => {
        channels -= 1
      })
      const served = serveChannel(session, link).finally(() => running.delete(served))
      running.add(served)
    })
  }
  guardLogin({ client, address, tries, authorize: doors.authorize, onLogin })
}

async function listen(front: Server, options: SshOptions): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  front.once('error', (cause) => {
    const taken = errno(cause) === 'EADDRINUSE'
    const why = taken ? 'something else listens there' : cause.message
    const hint = 'Choose another port with PAAS_SSH_PORT'
    reject(
      new Failure('failed', `Could not listen on port ${options.port}: ${why}`, { cause, hint }),
    )
  })
  front.listen({ port: options.port, host: options.host }, resolve)
  await promise
  front.removeAllListeners('error')
}

/**
 * Gives sessions a moment to end by themselves, then cuts every connection, which aborts the
 * others, and waits for what those leave behind.
 */
async function close(front: Server, state: State): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  front.close(() => resolve())
  await within(leaveTimeoutMs, Promise.allSettled(state.running))
  for (const { socket } of state.peers.values()) socket.destroySoon()
  await within(leaveTimeoutMs, promise)
  for (const { socket } of state.peers.values()) socket.destroy()
  const deadline = AbortSignal.timeout(closeTimeoutMs)
  deadline.addEventListener('abort', () => resolve(), { once: true })
  await promise
  const late = new Promise<void>((done) => deadline.addEventListener('abort', () => done()))
  await Promise.race([Promise.allSettled(state.running), late])
}

async function within(ms: number, work: Promise<unknown>): Promise<void> {
  const late = Promise.withResolvers<void>()
  const timer = setTimeout(late.resolve, ms)
  await Promise.race([work, late.promise])
  clearTimeout(timer)
}
