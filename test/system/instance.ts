import { closeSync, existsSync, openSync, readFileSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { readConfig } from '../../core/config.ts'
import { exec, spawnGroup } from '../../core/exec.ts'
import { paths } from '../../core/names.ts'
import { freePort } from '../ports.ts'
import { instancePrefix, noteInstance } from '../run-of-tests.ts'
import { freeSubnet } from '../subnet.ts'
import { askLocally } from './local-client.ts'

/** A whole paas of its own for a test: real daemon, ssh, git, runc and Caddy, on free ports. */

const root = resolve(import.meta.dirname, '../..')

export type Result = { code: number; stdout: string; stderr: string; out: string; ms: number }
export type Answer = { status: number; body: string; headers: Record<string, unknown> }

export type Paas = Awaited<ReturnType<typeof startPaas>>

const readyTimeoutMs = 60_000

export async function startPaas(settings: Record<string, string> = {}) {
  const base = await mkdtemp(instancePrefix())
  await chmod(base, 0o711) // the router is not root and has its certificates below
  const env: Record<string, string> = {
    ...definedEnv(),
    PAAS_HOME: join(base, 'home'),
    PAAS_SSH_PORT: String(await freePort()),
    PAAS_HTTP_PORT: String(await freePort()),
    PAAS_HTTPS_PORT: String(await freePort()),
    PAAS_SUBNET: freeSubnet(),
    PAAS_READY_TIMEOUT: '30',
    PAAS_DRAIN_TIMEOUT: '1',
    PAAS_GRACE_TIMEOUT: '2',
    ...settings,
  }
  const config = readConfig(env)
  env.NODE_COMPILE_CACHE = paths(config).compileCache // as the daemon, so that all start sooner
  await noteInstance(base, env)
  const key = join(base, 'key')
  const sshCommand = sshWith(key, config.sshPort)

  async function startDaemon(): Promise<void> {
    await mkdir(config.home, { recursive: true })
    const out = openSync(join(base, 'daemon.log'), 'a')
    const begins = daemonLog().length
    const child = spawnGroup(process.execPath, [join(root, 'daemon/main.ts')], {
      env,
      stdio: ['ignore', out, out],
    })
    child.unref()
    closeSync(out)
    // A test that loses its daemon cannot say why; this can.
    child.once('exit', (code, signal) => {
      if (code !== 0 && signal !== 'SIGKILL') {
        process.stderr.write(`daemon ended: ${code ?? signal}\n${daemonLog().slice(-4000)}\n`)
      }
    })
    const deadline = Date.now() + readyTimeoutMs
    while (!/^\S+ ready /m.test(daemonLog().slice(begins))) {
      if (child.exitCode !== null || Date.now() > deadline) {
        throw new Error(`daemon did not start:\n${daemonLog()}`)
      }
      await pause(20)
    }
  }

  const daemonLog = () => readFileSync(join(base, 'daemon.log'), 'utf8')
  const daemonPid = () => Number(readFileSync(paths(config).daemonPid, 'utf8'))

  /** Kills the daemon as a crash would, and waits until it is gone. */
  async function killDaemon(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const pid = daemonPid()
    process.kill(pid, signal)
    while (isRunning(pid)) await pause(5)
  }

  const run = (file: string, args: string[], options: { cwd?: string; input?: string } = {}) =>
    timed(file, args, { ...options, env })

  /** `paas` on the host, as a program. */
  const cli = (args: string[], input?: string) =>
    run(process.execPath, [join(root, 'daemon/cli.ts'), ...args], input ? { input } : {})

  /** What `cli` does, sooner. */
  async function paas(args: string[], input?: string): Promise<Result> {
    const began = performance.now()
    const { code, stdout, stderr } = await askLocally(paths(config).socket, args, input)
    return { code, stdout, stderr, out: stdout + stderr, ms: performance.now() - began }
  }

  const ssh = (args: string[], input?: string) =>
    run('ssh', [...sshCommand.slice(1), 'paas@127.0.0.1', ...args], input ? { input } : {})

  /** Pushes what is committed in `dir` with the stock git and ssh clients. */
  const push = (app: string, dir: string, refs = ['HEAD:refs/heads/main']) =>
    timed('git', ['push', '--force', `paas@127.0.0.1:${app}`, ...refs], {
      cwd: dir,
      env: { ...env, GIT_SSH_COMMAND: sshCommand.join(' ') },
    })

  /** One request through the router, on its own connection. */
  const get = (app: string, path = '/', host = `${app}.${config.domain}`) =>
    httpGet({ port: config.httpPort, path, host })

  await exec('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key])
  await startDaemon().catch(async (error) => {
    await run(process.execPath, [join(root, 'daemon/down.ts'), '--purge'])
    throw error
  })
  await paas(['keys:add', 'tester'], readFileSync(`${key}.pub`, 'utf8'))

  return {
    base,
    env,
    config,
    key,
    sshCommand,
    startDaemon,
    killDaemon,
    daemonPid,
    daemonLog,
    cli,
    paas,
    ssh,
    push,
    get,
    /** Makes a directory with these files, committed; `null` content is left out. */
    tree: (name: string, files: Record<string, string>) => commitTree(join(base, name), files),
    async down(): Promise<Result> {
      return run(process.execPath, [join(root, 'daemon/down.ts'), '--purge'])
    },
    async [Symbol.asyncDispose](): Promise<void> {
      const result = await run(process.execPath, [join(root, 'daemon/down.ts'), '--purge'])
      if (result.code !== 0) throw new Error(`down failed:\n${result.out}`)
      await rm(base, { recursive: true, force: true })
    },
  }
}

/** Writes files and commits them; called again it commits what changed. */
export async function commitTree(dir: string, files: Record<string, string>): Promise<string> {
  await mkdir(dir, { recursive: true })
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(dir, path)), { recursive: true })
    await writeFile(join(dir, path), content)
  }
  const git = (...args: string[]) => exec('git', args, { cwd: dir })
  if (!existsSync(join(dir, '.git'))) await git('init', '-q', '-b', 'main')
  await git('add', '-A')
  const author = ['-c', 'user.name=Test', '-c', 'user.email=test@localhost']
  await git(...author, 'commit', '-q', '--allow-empty', '-m', 'change')
  return dir
}

/** A Node app of one file that answers with `body`, with extra code above its listen call. */
export function nodeApp(body: string, options: { listen?: string; before?: string } = {}) {
  return {
    'package.json': JSON.stringify({ name: 'app', scripts: { start: 'node server.js' } }),
    'server.js': `const http = require('node:http')
${options.before ?? ''}
const server = http.createServer((req, res) => {
  if (req.url === '/env') return res.end(JSON.stringify(process.env))
  if (req.url === '/slow') return setTimeout(() => res.end('slow ' + ${JSON.stringify(body)}), 1000)
  res.end(${JSON.stringify(body)})
})
process.on('SIGTERM', () => server.close(() => process.exit(0)))
${options.listen ?? 'server.listen(process.env.PORT)'}
`,
  }
}

export function httpGet(o: { port: number; path: string; host: string }): Promise<Answer> {
  const { promise, resolve: done, reject } = Promise.withResolvers<Answer>()
  const { port, path, host } = o
  const call = request({
    host: '127.0.0.1',
    port,
    path,
    headers: { host },
    agent: false,
    timeout: 15_000,
  })
  call.on('timeout', () => call.destroy(new Error('no answer within 15 s')))
  call.on('error', reject)
  call.on('response', (response) => {
    const chunks: Buffer[] = []
    response.on('error', reject)
    response.on('data', (chunk: Buffer) => chunks.push(chunk))
    response.on('end', () =>
      done({
        status: response.statusCode ?? 0,
        body: Buffer.concat(chunks).toString('utf8'),
        headers: response.headers,
      }),
    )
  })
  call.end()
  return promise
}

/**
 * Waits until `check` holds; fails after `timeoutMs` with what was waited for. It asks less and
 * less often: many a check is a login, and the rest of the machine has work to do.
 */
export async function until(
  what: string,
  check: () => Promise<boolean> | boolean,
  timeoutMs = 30_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs
  for (let waitMs = 25; !(await check()); waitMs = Math.min(waitMs * 1.2, 300)) {
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain for: ${what}`)
    await pause(waitMs)
  }
}

export function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

async function timed(
  file: string,
  args: string[],
  options: { cwd?: string; input?: string; env: Record<string, string> },
): Promise<Result> {
  const began = performance.now()
  const every = Array.from({ length: 256 }, (_, code) => code)
  const { code, stdout, stderr } = await exec(file, args, {
    ...options,
    accept: every,
    timeoutMs: 600_000, // a toolchain may have to come first; each test has its own deadline
  })
  return { code, stdout, stderr, out: stdout + stderr, ms: performance.now() - began }
}

/** The stock client with this key alone, asking nobody and believing any host. */
export function sshWith(key: string, port: number): string[] {
  const options = ['IdentitiesOnly=yes', 'BatchMode=yes', 'StrictHostKeyChecking=no']
  const more = ['UserKnownHostsFile=/dev/null', 'LogLevel=ERROR']
  const flags = [...options, ...more].flatMap((option) => ['-o', option])
  return ['ssh', '-F', '/dev/null', '-i', key, ...flags, '-p', String(port)]
}

/** Without the settings of a server whose shell this may be: PAAS_RUN would be shared with it. */
function definedEnv(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      (pair): pair is [string, string] =>
        pair[1] !== undefined && !/^PAAS_(?!CACHE$)/.test(pair[0]),
    ),
  )
}
