import { existsSync } from 'node:fs'
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { ensureStack } from '../builder/stack/stack.ts'
import { type PaasConfig, readConfig } from '../core/config.ts'
import { Failure } from '../core/errors.ts'
import { exec } from '../core/exec.ts'
import { repository, say, script } from './script.ts'
import { sshConfigBlock } from './ssh-config.ts'
import { paas, startDaemon } from './start.ts'

/** The push, shown: the sample app through the stock git, ssh and curl, timed step by step. */

const app = 'hello'
const pushTimeoutMs = 10 * 60_000

type Demo = { config: PaasConfig; source: string; key: string; sshConfig: string; steps: Step[] }
type Step = { name: string; ms: number }

await script(async () => {
  const { values } = parseArgs({ options: { 'began-ms': { type: 'string' } } })
  const config = readConfig(process.env)
  const dir = join(config.home, 'demo')
  const demo: Demo = {
    config,
    source: join(dir, app),
    key: join(dir, 'id_ed25519'),
    sshConfig: join(dir, 'ssh_config'),
    steps: [{ name: 'set-up', ms: Date.now() - Number(values['began-ms'] ?? Date.now()) }],
  }
  await step(demo, 'stack', () => ensureStack(config, say))
  await step(demo, 'daemon and router', () => startDaemon(config))
  const host = await step(demo, 'key', () => letKeyIn(demo))
  await step(demo, 'app', () => createApp(demo))
  const text = await step(demo, 'change', () => changeSample(demo))
  await step(demo, 'git push paas main', () => push(demo))
  const url = await appUrl()
  await step(demo, `curl ${url}`, () => expectAnswer(url, text))
  report(demo, host, url)
})

/** Says what begins, does it, and notes how long it took. */
async function step<T>(demo: Demo, name: string, work: () => Promise<T>): Promise<T> {
  say(`=====> ${name}`)
  const began = performance.now()
  const result = await work()
  demo.steps.push({ name, ms: Math.round(performance.now() - began) })
  return result
}

/** Makes a key pair and lets it in; returns the `~/.ssh/config` block that uses it. */
async function letKeyIn({ config, key, sshConfig }: Demo): Promise<string> {
  await mkdir(dirname(key), { recursive: true, mode: 0o700 })
  if (!existsSync(key)) {
    await exec('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'demo', '-f', key])
    await paas(['keys:remove', 'demo'], { accept: [0, 1] }) // of a demo directory that is gone
  }
  await paas(['keys:add', 'demo'], { input: await readFile(`${key}.pub`, 'utf8') })
  const block = sshConfigBlock({
    hostName: '127.0.0.1',
    port: config.sshPort,
    identityFile: key,
    knownHostsFile: `${sshConfig}.known_hosts`,
  })
  await writeFile(sshConfig, block)
  return block
}

/** Through ssh, as a user would. */
async function createApp({ source, sshConfig }: Demo): Promise<void> {
  const found = await paas(['apps:info', app], { accept: [0, 20] })
  if (found.code === 0) return
  await rm(source, { recursive: true, force: true }) // its history is of an app that is gone
  await exec('ssh', [...sshOptions(sshConfig), 'paas', 'apps:create', app], { onLine: say })
}

/** Commits one changed line of the sample; returns the text that the app will answer with. */
async function changeSample({ source }: Demo): Promise<string> {
  const again = existsSync(source)
  if (!again) {
    await cp(join(repository, 'scripts/sample'), source, { recursive: true })
    await git(source, 'init', '--quiet', '--initial-branch=main')
    await git(source, 'remote', 'add', 'paas', `paas:${app}`)
  }
  const pushes = again ? (await git(source, 'rev-list', '--count', 'HEAD')).stdout.trim() : '0'
  const text = `Hello from paas, push ${Number(pushes) + 1}`
  const file = join(source, 'server.js')
  const code = await readFile(file, 'utf8')
  await writeFile(file, code.replace(/^const text = .*$/m, `const text = '${text}'`))
  await git(source, 'add', '--all')
  await git(source, 'commit', '--quiet', `--message=${text}`)
  return text
}

async function push({ source, sshConfig }: Demo): Promise<void> {
  await exec('git', ['push', 'paas', 'main'], {
    cwd: source,
    env: { ...gitEnv(), GIT_SSH_COMMAND: `ssh ${sshOptions(sshConfig).map(quote).join(' ')}` },
    timeoutMs: pushTimeoutMs,
    onLine: say,
  })
}

async function appUrl(): Promise<string> {
  const info: unknown = JSON.parse((await paas(['apps:info', app, '--json'])).stdout)
  const urls = typeof info === 'object' && info && 'urls' in info ? info.urls : undefined
  const [url] = Array.isArray(urls) ? urls : []
  if (typeof url === 'string') return url
  throw new Failure('failed', `apps:info named no URL of ${app}`)
}

/** One try: when the push has returned, the new version answers. */
async function expectAnswer(url: string, text: string): Promise<void> {
  const { hostname, port } = new URL(url)
  const resolve = `${hostname}:${port || 80}:127.0.0.1`
  const { stdout } = await exec(
    'curl',
    ['--silent', '--show-error', '--fail', '--max-time', '10', '--resolve', resolve, '--', url],
    { onLine: say },
  )
  if (stdout.includes(text)) return
  throw new Failure('failed', `${url} did not answer "${text}" but "${stdout.slice(0, 200)}"`)
}

function report({ config, key, steps }: Demo, host: string, url: string): void {
  const pushMs = steps.find(({ name }) => name.startsWith('git push'))?.ms
  say('=====> Time taken')
  for (const { name, ms } of steps) say(`${(ms / 1000).toFixed(2).padStart(13)} s  ${name}`)
  say('=====> For ~/.ssh/config')
  say(host)
  say(`READY url=${url} ssh_port=${config.sshPort} key=${key} app=${app} push_ms=${pushMs}`)
}

function sshOptions(sshConfig: string): string[] {
  return [
    '-F',
    sshConfig,
    '-o',
    'StrictHostKeyChecking=accept-new',
    '-o',
    'BatchMode=yes',
    '-o',
    'LogLevel=ERROR',
  ]
}

async function git(dir: string, ...args: string[]) {
  const author = ['-c', 'user.name=Demo', '-c', 'user.email=demo@localhost']
  return exec('git', [...author, ...args], { cwd: dir, env: gitEnv() })
}

/** Without the settings of whoever runs the demo: no commit signing, no hooks of theirs. */
function gitEnv(): Record<string, string> {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('GIT_'))
  const kept = own.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]))
  return { ...Object.fromEntries(kept), GIT_CONFIG_GLOBAL: '/dev/null' }
}

/** git hands GIT_SSH_COMMAND to sh; the only words in it that are not ours are file names. */
function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`
}
