import { spawn } from 'node:child_process'
import { readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { limits } from '../../core/config.ts'
import { paths } from '../../core/names.ts'
import { logPiece } from '../../runner/log-files.ts'
import { nodeApp, type Paas, startPaas, until } from './instance.ts'

/** One log of an app: builds, releases, processes, requests; searched, followed, bounded. */
describe('logs', () => {
  let paas: Paas
  beforeAll(async () => {
    paas = await startPaas()
    await paas.push('shop', await paas.tree('shop', talker('one')))
    await paas.push('shop', await paas.tree('shop', talker('two')))
  })
  afterAll(() => paas[Symbol.asyncDispose]())

  const logs = async (...words: string[]) => {
    const { stdout, code, stderr } = await paas.paas(['logs', 'shop', ...words])
    expect([code, stderr]).toEqual([0, ''])
    return stdout.split('\n').filter(Boolean)
  }

  test('lines of builds, releases, processes and requests are in one log', async () => {
    await paas.get('shop', '/page?token=secret')
    await until('the request is told', async () => (await logs('-p', 'router')).length > 0)
    const all = (await logs('-n', '500')).join('\n')
    expect(all).toMatch(/build\.1: -----> Building shop/)
    expect(all).toMatch(/release\.1: migrated one/)
    expect(all).toMatch(/web\.1: talk one/)
    expect(all).toMatch(/router: GET \/page 200 [\d.]+ ms \d+ B web\.1 127\.0\.0\.1/)
    expect(all).not.toContain('secret')
    expect((await logs('--release', 'v1', '-p', 'web')).join('\n')).not.toContain('talk two')
  })

  test('a request is told with its own time, whenever paas comes to tell it', async () => {
    const before = new Date().toISOString()
    await paas.killDaemon()
    await paas.get('shop', '/timed')
    await pause(300) // what the router writes of it may be later than what the client saw
    const after = new Date().toISOString()
    await paas.startDaemon()
    let told: string[] = []
    await until('the request is told', async () => {
      told = await logs('--grep', 'GET /timed')
      return told.length > 0
    })
    const [at = ''] = told[0]?.split(' ') ?? []
    expect([before < at, at < after]).toEqual([true, true])
  })

  test('--json has time, process, stream and release of each line', async () => {
    const lines: unknown[] = JSON.parse((await logs('--json', '-p', 'web')).join('\n'))
    expect(lines).toContainEqual({
      at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/),
      process: 'web.1',
      release: 2,
      stream: 'stderr',
      text: 'warn two',
    })
  })

  test('--since, --until and --grep choose lines', async () => {
    expect((await logs('--grep', '^talk (one|two)$')).length).toBe(2)
    expect(await logs('--since', '0s')).toEqual([])
    expect((await logs('--since', '1h', '--grep', 'talk')).length).toBe(2)
    expect(await logs('--until', '2020-01-01T00:00:00Z')).toEqual([])
    const wrong = await paas.paas(['logs', 'shop', '--since', 'yesterday'])
    expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining('is no time')])
    const bad = await paas.paas(['logs', 'shop', '--grep', '('])
    expect([bad.code, bad.stderr]).toEqual([2, expect.stringContaining('no regular expression')])
  })

  test('--failed shows what the last process or build that failed had said', async () => {
    const none = await paas.paas(['logs', 'shop', '--failed'])
    expect([none.code, none.stderr]).toEqual([1, ' !     Nothing of shop has failed\n'])
    const dir = await paas.tree('shop', { ...talker('three'), 'package.json': '{' })
    expect((await paas.push('shop', dir)).code).not.toBe(0)
    expect((await logs('--failed')).at(-1)).toMatch(/build\.3: {2}!     Not deployed/)
    await paas.tree('shop', {
      ...talker('four'),
      'server.js': 'console.log("cannot work"); process.exit(9)',
    })
    expect((await paas.push('shop', dir)).code).not.toBe(0)
    expect(await logs('--failed')).toEqual([expect.stringMatching(/web\.1: cannot work$/)])
  })

  test('-t goes on through a deploy, with --grep', async () => {
    const words = ['logs', 'shop', '-t', '-n', '0', '--grep', 'talk']
    const child = spawn('ssh', [...paas.sshCommand.slice(1), 'paas@127.0.0.1', ...words], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    let seen = ''
    child.stdout.on('data', (chunk: Buffer) => (seen += chunk.toString()))
    await until('it is being followed', async () => {
      await paas.get('shop', '/log?talk+first')
      return seen.includes('first')
    })
    await paas.push('shop', await paas.tree('shop', talker('five')))
    await until('the new release is heard', () => seen.includes('talk five'))
    expect(seen).not.toContain('warn')
    child.kill()
  })

  test('-t on the host misses no line while the daemon is killed and comes back', async () => {
    const before = 'let n = 0; setInterval(() => console.log("count", ++n), 20)'
    await paas.push('counter', await paas.tree('counter', nodeApp('counter', { before })))
    const cli = join(import.meta.dirname, '../../daemon/cli.ts')
    const words = ['logs', 'counter', '-t', '-n', '1000', '-p', 'web']
    const child = spawn(process.execPath, [cli, ...words], {
      env: paas.env,
      stdio: 'pipe',
    })
    let [seen, said] = ['', '']
    child.stdout.on('data', (chunk: Buffer) => (seen += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
    const counts = () => [...seen.matchAll(/count (\d+)\n/g)].map(([, count]) => Number(count))
    const highest = () => Math.max(0, ...counts())
    for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
      const from = highest()
      await until('it follows', () => highest() > from + 20, 60_000)
      // What is typed as the connection goes is sent before its end is seen.
      child.kill('SIGSTOP')
      child.stdin.write('typed')
      await paas.killDaemon(signal)
      child.kill('SIGCONT')
      await paas.startDaemon()
      const back = highest()
      await until(
        `it follows again after ${signal}, said ${said}`,
        () => highest() > back + 20,
        60_000,
      )
    }
    child.kill()
    const wanted = Array.from({ length: highest() }, (_, index) => index + 1)
    expect([...new Set(counts())]).toEqual(wanted)
    expect(said).toContain('The daemon is away; the log goes on when it is back')
    await paas.ssh(['apps:destroy', 'counter', '--force'])
  })

  test('-t on the host ends without a word when its reader has seen enough', async () => {
    const cli = join(import.meta.dirname, '../../daemon/cli.ts')
    const child = spawn(process.execPath, [cli, 'logs', 'shop', '-t'], {
      env: paas.env,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let said = ''
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
    child.stdout.once('data', () => child.stdout.destroy())
    const ended = new Promise((resolve) => child.once('close', resolve))
    await until('it has ended', async () => {
      await paas.get('shop')
      return child.exitCode !== null
    })
    expect([await ended, said]).toEqual([141, ''])
  })

  test('-t over ssh ends with 75 and a last line when the daemon is restarted', async () => {
    const words = ['logs', 'shop', '-t', '-n', '1']
    const child = spawn('ssh', [...paas.sshCommand.slice(1), 'paas@127.0.0.1', ...words], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let [seen, said] = ['', '']
    child.stdout.on('data', (chunk: Buffer) => (seen += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
    const ended = new Promise((resolve) => child.once('close', resolve))
    await until('it is being followed', () => seen !== '')
    await paas.killDaemon('SIGTERM')
    expect([await ended, said]).toEqual([
      75,
      expect.stringContaining(
        ' !     paas is stopping or restarting\n !     Run the command again to go on\n',
      ),
    ])
    await paas.startDaemon()
  })

  test('requests are told once, also when the daemon was away meanwhile', async () => {
    await paas.killDaemon()
    for (let count = 0; count < 20; count++) await paas.get('shop', `/away/${count}`)
    await paas.startDaemon()
    await until('all are told', async () => (await logs('--grep', '/away/')).length === 20)
  })

  test('of very many requests some are told, the others as a sum', async () => {
    const count = 400
    await Promise.all(Array.from({ length: count }, () => paas.get('shop', '/many')))
    let told = 0
    await until('all are accounted for', async () => {
      const lines = await logs('-n', '2000', '-p', 'router', '--grep', '/many|more requests')
      const sums = lines.map((line) =>
        Number(/: (\d+) more requests, 0 of them/.exec(line)?.[1] ?? 0),
      )
      told = lines.length
      return lines.filter((line) => line.includes('/many')).length + sum(sums) === count
    })
    expect(told).toBeLessThan(count)
  })

  test('a process that floods fills no disk, and its last lines are there', async () => {
    const dir = await paas.tree('flood', {
      ...nodeApp('flood'),
      Procfile: 'web: node server.js\nyes: yes this line is written again and again and again',
    })
    await paas.push('flood', dir)
    await paas.ssh(['logs:limit', 'flood', '8m'])
    await paas.ssh(['ps:scale', 'flood', 'yes=1'])
    const folder = paths(paas.config).logs('flood')
    const size = () => {
      const sizes = new Map<number, number>() // by inode: a file may have two names
      for (const name of readdirSync(folder)) {
        const facts = statSync(join(folder, name), { throwIfNoEntry: false })
        if (facts) sizes.set(facts.ino, facts.size)
      }
      return sum([...sizes.values()])
    }
    for (let piece = 1; piece <= 20; piece++) {
      const name = logPiece({ process: 'web.1', release: 1, id: '0123456789ab' }, piece)
      writeFileSync(join(folder, name), Buffer.alloc(1024 * 1024, '\n'))
    }
    await until('the older pieces go', () => size() < limits.logBytesLeast * 1.5, 20_000)
    const { stdout } = await paas.ssh(['logs', 'flood', '-p', 'yes', '-n', '3'])
    expect(stdout.match(/this line is written/g)).toHaveLength(9 / 3)
    expect((await paas.get('flood')).body).toBe('flood')
  })
})

function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}

/** Says `talk WORD` and a warning at its start, and whatever it is asked to at `/log?`. */
function talker(word: string) {
  const before = `
console.log('talk ${word}')
console.error('warn ${word}')
setImmediate(() => server.on('request', (req) => {
  if (req.url.startsWith('/log?')) console.log(req.url.slice(5).replaceAll('+', ' '))
}))`
  return {
    ...nodeApp('shop', { before }),
    Procfile: `web: node server.js\nrelease: echo migrated ${word}`,
  }
}
