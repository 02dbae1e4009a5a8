import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { nodeApp, type Paas, startPaas, until } from './instance.ts'

/** What app.json and `checks:*` say about health, scripts and exclusive types, on a real host. */

type Process = { process: string; state: string; release: string; address: string | null }

/** A web and a worker whose code and app.json a test chooses. */
function app(body: string, appJson: unknown, more: Record<string, string> = {}) {
  return {
    ...nodeApp(body),
    'app.json': JSON.stringify(appJson),
    Procfile: 'web: node server.js\nworker: node worker.js\n',
    'worker.js': worker(body),
    ...more,
  }
}

/** Says when it begins and ends, and takes a while to end. */
const worker = (name: string) => `console.log('begin ${name}')
process.on('SIGTERM', () => setTimeout(() => { console.log('end ${name}'); process.exit(0) }, 400))
setInterval(() => {}, 1000)
`

/** A server whose /health is not well at first; /break makes it unwell for good. */
const moody = (body: string, before: string, health: string) =>
  nodeApp(body, {
    before,
    listen: `const old = server.listeners('request')[0]
server.removeAllListeners('request')
server.on('request', (req, res) => {
  if (req.url === '/break') { globalThis.broken = true; return res.end('broken') }
  if (req.url === '/health') { ${health} }
  old(req, res)
})
server.listen(process.env.PORT)`,
  })

/** An app whose worker has one check. */
const withWorker = (check: unknown, more: Record<string, string> = {}) =>
  app('kinds', { formation: { worker: { quantity: 1 } }, healthchecks: { worker: [check] } }, more)

describe('health', () => {
  let paas: Paas
  beforeAll(async () => {
    paas = await startPaas({ PAAS_GRACE_TIMEOUT: '20', PAAS_SCRIPT_TIMEOUT: '2' })
  })
  afterAll(() => paas[Symbol.asyncDispose]())

  const push = async (name: string, files: Record<string, string>) =>
    paas.push(name, await paas.tree(name, files))

  const processes = async (name: string): Promise<Process[]> =>
    JSON.parse((await paas.paas(['--json', 'ps', name])).stdout)

  const logs = async (name: string) => (await paas.paas(['logs', name, '-n', '500'])).stdout

  const live = async (name: string): Promise<string> => {
    const found = (await processes(name)).filter(({ state }) => state === 'running')
    return found.map(({ process, release }) => `${process} ${release}`).join(', ')
  }

  /** What the workers of an app said, in the order of time. */
  const said = async (name: string) =>
    [...(await logs(name)).matchAll(/worker\.1: ((?:begin|end) \w+)/g)].map(([, text]) => text)

  describe('a check of a path', () => {
    test('gates the deploy until it is good', async () => {
      const slow = moody(
        'slow',
        'const ready = Date.now() + 1500',
        'res.statusCode = Date.now() > ready ? 200 : 503; return res.end()',
      )
      const appJson = { healthchecks: { web: [{ type: 'readiness', path: '/health' }] } }
      const result = await push('path', { ...slow, 'app.json': JSON.stringify(appJson) })
      expect(result.out).toContain('Application deployed')
      expect((await paas.get('path', '/health')).status).toBe(200)
    })

    test('that is never good leaves the old release, and says status and last lines', async () => {
      const never = moody(
        'never',
        'console.log("the database is away")',
        'res.statusCode = 503; return res.end()',
      )
      const check = { type: 'readiness', path: '/health', attempts: 2, wait: 0.2 }
      const appJson = JSON.stringify({ healthchecks: { web: [check] } })
      const result = await push('path', { ...never, 'app.json': appJson })
      expect(result.code).not.toBe(0)
      expect(result.out).toMatch(
        /web failed its readiness check \(GET \/health: answered 503, 2 tries in \d+\.\d s\)/,
      )
      expect(result.out).toContain('the database is away')
      expect((await paas.get('path')).body).toBe('slow')
    })

    test('without a wait is polled until the ready timeout of the app', async () => {
      expect((await paas.ssh(['checks:set', 'path', 'timeout=1'])).code).toBe(0)
      const never = moody('never', '', 'res.statusCode = 500; return res.end()')
      const appJson = JSON.stringify({ healthchecks: { web: [{ path: '/health' }] } })
      const result = await push('path', { ...never, 'app.json': appJson })
      const tries = /GET \/health: answered 500, (\d+) tries/.exec(result.out)?.[1]
      expect(Number(tries)).toBeGreaterThan(4)
      expect((await paas.get('path')).body).toBe('slow')
    })
  })

  describe('a check of another kind', () => {
    test('is a command inside the container, as the app itself', async () => {
      const command = `test "$DYNO" = worker.1 && test "$(id -u)" = 32767 && test -e worker.js`
      const result = await push('kinds', withWorker({ type: 'startup', command }))
      expect(result.out).toContain('Application deployed')
      expect(await live('kinds')).toBe('web.1 v1, worker.1 v1')
    })

    test('names the exit code of a command that fails', async () => {
      const command = 'echo no queue >&2; exit 3'
      const check = { type: 'startup', command, wait: 0.1 }
      const result = await push('kinds', withWorker(check))
      expect(result.out).toContain(
        `worker failed its startup check ("${command}": exited with code 3: no queue, 3 tries`,
      )
      expect(result.out).toContain('begin kinds')
      expect(await live('kinds')).toBe('web.1 v1, worker.1 v1')
    })

    test('ends a command that takes too long', async () => {
      const check = { command: 'sleep 60', timeout: 0.5, attempts: 1, wait: 0 }
      const result = await push('kinds', withWorker(check))
      expect(result.out).toContain('"sleep 60": did not end within 0.5 s, 1 try')
      expect(await live('kinds')).toBe('web.1 v1, worker.1 v1')
    })

    test('is a port on which a worker listens', async () => {
      const listens = `require('node:net').createServer().listen(7000)\n${worker('kinds')}`
      const check = { listening: true, port: 7000 }
      const result = await push('kinds', withWorker(check, { 'worker.js': listens }))
      expect(result.out).toContain('Application deployed')
    })

    test('is a time to be up, within which a death fails the deploy', async () => {
      const dies = 'console.log("leaving"); setTimeout(() => process.exit(4), 1500)'
      const result = await push('kinds', withWorker({ uptime: 20 }, { 'worker.js': dies }))
      expect(result.out).toContain('worker exited with code 4 before it passed its health checks')
      expect(result.out).toContain('leaving')
    })
  })

  test('one that ends when others are not ready yet fails the deploy all the same', async () => {
    expect((await push('short', app('good', {}))).code).toBe(0)
    // Ready by its port, and gone before the worker has been up for its second.
    const server = `console.log('no database')
require('node:http').createServer().on('connection', () => setTimeout(() => process.exit(3), 100))
  .listen(process.env.PORT)`
    const wish = { formation: { worker: { quantity: 1 } } }
    await paas.ssh(['ps:scale', 'short', 'worker=1'])
    const result = await push('short', app('bad', wish, { 'server.js': server }))
    expect(result.code).not.toBe(0)
    expect(result.out).toContain('web exited with code 3 after it was ready')
    expect(result.out).toContain('no database')
    expect((await paas.get('short')).body).toBe('good')
    expect(await live('short')).toBe('web.1 v1, worker.1 v1')
  })

  test('web and workers change together or not at all', async () => {
    const wish = { formation: { worker: { quantity: 1 } } }
    expect((await push('both', app('one', wish))).out).toContain('Application deployed')
    // No Node in it: on a busy machine that alone takes more than the second a worker has to stay.
    const crash = { Procfile: 'web: node server.js\nworker: echo worker breaks; exit 9\n' }
    const result = await push('both', app('two', wish, crash))
    expect(result.code).not.toBe(0)
    expect(result.out).toContain('worker exited with code 9 within 1 s of its start')
    expect(result.out).toContain('worker breaks')
    expect((await paas.get('both')).body).toBe('one')
    expect(await live('both')).toBe('web.1 v1, worker.1 v1')
  })

  describe('a liveness check', () => {
    test('that fails restarts the process, and the log of the app says why', async () => {
      const code = moody(
        'alive',
        '',
        'res.statusCode = globalThis.broken ? 500 : 200; return res.end()',
      )
      const check = { type: 'liveness', path: '/health', attempts: 2, wait: 0.25 }
      const appJson = JSON.stringify({ healthchecks: { web: [check] } })
      expect((await push('alive', { ...code, 'app.json': appJson })).code).toBe(0)
      const [before] = await processes('alive')
      await pause(600) // long enough to fail twice
      expect((await processes('alive'))[0]?.address).toBe(before?.address)
      await paas.get('alive', '/break')
      await until('another process serves', async () => {
        const now = await processes('alive')
        return now.length === 1 && now[0]?.state === 'running' && now[0].address !== before?.address
      })
      await until('it is well', async () => (await paas.get('alive', '/health')).status === 200)
      expect(await logs('alive')).toContain(
        'web.1 is down (liveness check failed 2 times in a row: GET /health: answered 500)',
      )
      const told = 'failed its check: liveness, 2 times in a row: GET /health: answered 500'
      expect((await paas.ssh(['ps:why', 'alive'])).stdout).toContain(`web.1 of alive ${told}`)
      expect((await paas.ssh(['events', 'alive'])).stdout).toContain(`web.1 ${told}`)
      const { processes: used } = JSON.parse(
        (await paas.ssh(['metrics', 'alive', '--json'])).stdout,
      )
      expect(used).toEqual([expect.objectContaining({ process: 'web.1', restarts: 1 })])
      await paas.get('alive', '/break')
      await until('it waits longer', () => /web\.1 is down .*0\.2 s/.test(paas.daemonLog()))
      await until('it is well', async () => (await paas.get('alive', '/health')).status === 200)
    })

    test('goes on after a restart of the daemon', async () => {
      const [before] = await processes('alive')
      await paas.killDaemon()
      await paas.startDaemon()
      expect((await processes('alive'))[0]?.address).toBe(before?.address)
      await paas.get('alive', '/break')
      await until('another process serves', async () => {
        const now = await processes('alive')
        return now.some(({ state, address }) => state === 'running' && address !== before?.address)
      })
    })
  })

  describe('env, formation and scripts of app.json', () => {
    const appJson = {
      env: { MODE: 'first', SECRET: { generator: 'secret' }, STEP: { value: 'a', sync: true } },
      formation: { web: { quantity: 2, memory: '128m', cpu: 0.5 }, worker: { quantity: 1 } },
      scripts: {
        dokku: { predeploy: 'echo pre $MODE', postdeploy: 'echo post $PAAS_RELEASE' },
        postdeploy: 'echo only once',
      },
    }

    test('apply at the first deploy', async () => {
      const result = await push('given', app('given', appJson))
      expect(result.out).toContain('Config from app.json: MODE, SECRET, STEP')
      expect(result.out).toMatch(
        /Predeploy script: echo pre \$MODE[^]*pre \*\*\*\*[^]*Starting[^]*only once[^]*post v1/,
      )
      expect(await live('given')).toBe('web.1 v1, web.2 v1, worker.1 v1')
      const secret = (await paas.ssh(['config:get', 'given', 'SECRET'])).stdout.trim()
      expect(secret).toMatch(/^[0-9a-f]{64}$/)
      expect(result.out).not.toContain(secret)
      expect(await logs('given')).toContain('predeploy.1: pre ****')
    })

    test('leave what the user has set afterwards', async () => {
      await paas.ssh(['config:set', 'given', 'MODE=mine', 'STEP=mine'])
      await paas.ssh(['ps:scale', 'given', 'web=1', 'worker=0'])
      const changed = { ...appJson, env: { ...appJson.env, STEP: { value: 'b', sync: true } } }
      const result = await push('given', app('given again', changed))
      expect(result.out).toContain('Config from app.json: STEP')
      expect(result.out).toContain('pre ****')
      expect(result.out).not.toContain('only once')
      expect(await live('given')).toBe('web.1 v3')
      const env: Record<string, string> = JSON.parse((await paas.get('given', '/env')).body)
      expect(env).toMatchObject({ MODE: 'mine', STEP: 'b' })
    })

    test('required config that is missing fails the deploy and names it', async () => {
      const result = await push('given', app('no', { env: { API_KEY: { required: true } } }))
      expect(result.code).not.toBe(0)
      expect(result.out).toContain('API_KEY is required by app.json and not set')
      expect((await paas.get('given')).body).toBe('given again')
    })

    test('an app.json that is wrong is refused with its place', async () => {
      const result = await push('given', app('no', { healthchecks: { web: [{ path: 5 }] } }))
      expect(result.out).toContain('healthchecks.web[0].path in app.json is 5: expected text')
    })

    test('a predeploy script that fails or is late aborts, and nothing has changed', async () => {
      const failing = { scripts: { dokku: { predeploy: 'echo bad migration; exit 5' } } }
      const failed = await push('given', app('no', failing))
      expect(failed.out).toContain('bad migration')
      expect(failed.out).toContain('The predeploy script exited with code 5: echo bad migration')
      const late = await push('given', app('no', { scripts: { dokku: { predeploy: 'sleep 60' } } }))
      expect(late.out).toContain('The predeploy script took longer than 2 s: sleep 60')
      expect((await paas.get('given')).body).toBe('given again')
      expect(await live('given')).toBe('web.1 v3')
    })

    test('a release phase that fails aborts too', async () => {
      const Procfile = 'web: node server.js\nrelease: echo $PAAS_RELEASE phase; kill -TERM $$\n'
      const result = await push('given', app('no', {}, { Procfile }))
      expect(result.out).toContain('v6 phase')
      expect(result.out).toContain('The release phase was killed by signal SIGTERM: echo')
      expect((await paas.get('given')).body).toBe('given again')
    })

    test('a postdeploy script that fails warns, and the new release serves', async () => {
      const scripts = { dokku: { postdeploy: 'exit 7' } }
      const result = await push('given', app('newest', { scripts }))
      expect(result.code).toBe(0)
      expect(result.out).toContain(' !     The postdeploy script exited with code 7: exit 7')
      expect((await paas.get('given')).body).toBe('newest')
    })

    test('a restart runs no script', async () => {
      const result = await paas.ssh(['ps:restart', 'given'])
      expect(result.code).toBe(0)
      expect(result.out).not.toContain('script')
    })
  })

  describe('an exclusive type', () => {
    const wish = { formation: { worker: { quantity: 1, exclusive: true } } }

    test('stops before the new one starts, while web overlaps', async () => {
      expect((await push('alone', app('one', wish))).code).toBe(0)
      expect((await push('alone', app('two', wish))).out).toContain(
        'Stopping the old worker.1 first',
      )
      expect(await said('alone')).toEqual(['begin one', 'end one', 'begin two'])
      expect((await paas.get('alone')).body).toBe('two')
    })

    test('comes back when the new one fails', async () => {
      const crash = { 'worker.js': 'console.log("begin three"); process.exit(3)' }
      const result = await push('alone', app('three', wish, crash))
      expect(result.code).not.toBe(0)
      expect(result.out).toContain('Starting the old worker.1 again')
      expect((await said('alone')).slice(3)).toEqual(['end two', 'begin three', 'begin two'])
      expect(await live('alone')).toBe('web.1 v2, worker.1 v2')
      expect((await paas.get('alone')).body).toBe('two')
    })

    test('never runs twice, whatever is killed meanwhile', async () => {
      const [dir] = [await paas.tree('alone', app('four', wish))]
      const pushing = paas.push('alone', dir)
      const ends = async () => (await said('alone')).filter((text) => text === 'end two').length
      await until('the old one stops', async () => (await ends()) === 2, 30_000)
      await paas.killDaemon()
      await pushing
      await paas.startDaemon()
      await until('a worker runs', async () => (await live('alone')).includes('worker.1'))
      const running = (await processes('alone')).filter(({ process }) => process === 'worker.1')
      expect(running).toHaveLength(1)
      expect((await push('alone', app('five', wish))).code).toBe(0)
      // Three crashed; four, when it was not ready yet, was killed by the daemon that came.
      const turns = (await said('alone')).join(', ').replace('begin three, ', '')
      expect(turns).toMatch(/^((begin (\w+), end \3|begin four), )+begin five$/)
    })
  })

  describe('checks:*', () => {
    test('disable stops the old before the new starts, and a failure brings it back', async () => {
      expect((await push('modes', app('one', {}))).code).toBe(0)
      const disabled = await paas.ssh(['checks:disable', 'modes', 'web'])
      expect(disabled.stdout).toContain('web: disabled, the old stops first')
      const good = await push('modes', app('two', {}))
      expect(good.out).toContain('Stopping the old web.1 first')
      expect((await paas.get('modes')).body).toBe('two')
      const bad = await push('modes', {
        ...app('three', {}),
        'server.js': 'console.log("three breaks"); process.exit(1)',
      })
      expect(bad.code).not.toBe(0)
      expect(bad.out).toContain('three breaks')
      expect((await paas.get('modes')).body).toBe('two')
    })

    test('skip waits for nothing', async () => {
      await paas.ssh(['checks:skip', 'modes'])
      const never = nodeApp('deaf', { listen: 'setInterval(() => {}, 1000)' })
      const result = await push('modes', { ...app('deaf', {}), 'server.js': never['server.js'] })
      expect(result.out).toContain('Application deployed')
      await paas.ssh(['checks:enable', 'modes'])
      const checked = await push('modes', app('four', {}))
      expect(checked.code).toBe(0)
      expect((await paas.get('modes')).body).toBe('four')
    })

    test('set drain and grace, which a stop then takes', async () => {
      const stubborn = `process.on('SIGTERM', () => console.log('will not'))
setInterval(() => {}, 1000)`
      const wish = { formation: { worker: { quantity: 1, exclusive: true } } }
      await push('grace', app('one', wish, { 'worker.js': stubborn }))
      const set = await paas.ssh(['checks:set', 'grace', 'drain=1', 'grace=0.2', 'timeout=9'])
      expect(set.stdout).toMatch(/timeout: 9 s\n.*drain: +1 s\n.*grace: +0\.2 s/)
      const scaled = await paas.ssh(['ps:scale', 'grace', 'worker=0'])
      expect(scaled.code).toBe(0)
      await until('it is gone', async () => (await processes('grace')).length === 1, 10_000)
      const back = await paas.ssh(['checks:set', 'grace', 'grace='])
      expect(back.stdout).toMatch(/grace: +20 s/)
    })

    test('report what is checked, as lines and as data', async () => {
      const checks = [{ path: '/' }, { type: 'liveness', command: 'true' }]
      await push('modes', app('five', { healthchecks: { web: checks } }))
      const { stdout } = await paas.ssh(['checks:report', 'modes'])
      expect(stdout).toContain('web: enabled\n         startup: GET /\n         liveness: "true"')
      const data = JSON.parse((await paas.ssh(['checks:report', 'modes', '--json'])).stdout)
      expect(data).toMatchObject({ seconds: { timeout: 30, drain: 1, grace: 20 } })
      expect(data.types[0]).toMatchObject({ type: 'web', mode: 'enabled', stopsFirst: false })
    })

    test('refuse what they do not know', async () => {
      expect((await paas.ssh(['checks:set', 'modes', 'patience=3'])).code).toBe(2)
      expect((await paas.ssh(['checks:set', 'modes', 'drain=-1'])).code).toBe(2)
      expect((await paas.ssh(['checks:set', 'modes', 'timeout=0'])).code).toBe(2)
      expect((await paas.ssh(['checks:set', 'modes'])).code).toBe(2)
      const unknown = await paas.ssh(['checks:skip', 'modes', 'wroker'])
      expect(unknown.code).toBe(1)
      expect(unknown.stderr).toContain('It has: web, worker')
    })
  })
})
