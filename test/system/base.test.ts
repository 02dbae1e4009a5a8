import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { sha256 } from '../../builder/image/oci.ts'
import { paths } from '../../core/names.ts'
import { isInstalled, startRegistry } from './docker-registry.ts'
import { type Paas, startPaas } from './instance.ts'

/** An image with a program, an environment and a user of its own; nothing in it answers. */
const tools = (flavour: string) => ({
  Dockerfile: `FROM paas/stack
RUN mkdir -p /opt/tools && printf '#!/bin/sh\\necho ${flavour}' > /opt/tools/flavour \\
  && chmod 755 /opt/tools/flavour && mkdir -p /app && echo base > /app/from-base
ENV PATH=/opt/tools:/usr/bin:/bin HOME=/root TASTE=${flavour}
USER root
`,
  Procfile: 'worker: sleep 1000\n',
})

const shop = (notes: string) => ({
  'package.json': JSON.stringify({
    name: 'shop',
    scripts: { start: 'node server.js', build: 'flavour > built.txt' },
    dependencies: { ms: '2.1.3' },
  }),
  'notes.txt': notes,
  'server.js': `
    const { execFileSync } = require('node:child_process')
    const { readFileSync } = require('node:fs')
    const { HOME, TASTE } = process.env
    const said = () => [
      execFileSync('flavour').toString(), TASTE, HOME, require('node:os').userInfo().username,
      readFileSync('built.txt', 'utf8'), readFileSync('from-base', 'utf8'),
    ]
    require('node:http').createServer((_, response) => response.end(said().map((one) => one.trim()).join(' ')))
      .listen(process.env.PORT, '0.0.0.0')`,
})

describe.skipIf(!isInstalled)("a base, where Debian's registry is installed,", () => {
  const end = new AsyncDisposableStack()
  let paas: Paas
  let registry: Awaited<ReturnType<typeof startRegistry>>
  let image: string
  beforeAll(async () => {
    paas = end.use(await startPaas())
    registry = end.use(await startRegistry(join(paas.base, 'registry')))
    image = `${registry.host}/team/tools:v1`
    await paas.paas(['registry:allow', registry.host])
    await publish('vanilla')
  }, 300_000)
  afterAll(() => end.disposeAsync())

  let digest = ''
  async function publish(flavour: string): Promise<void> {
    const push = await paas.push('tools', await paas.tree('tools', tools(flavour)))
    if (push.code !== 0) throw new Error(push.out)
    const { stdout } = await paas.ssh(['images:push', 'tools', image, '--json'])
    digest = JSON.parse(stdout).digest
  }
  const push = async (notes: string) => paas.push('shop', await paas.tree('shop', shop(notes)))

  test('is what a detected language is built and run on', async () => {
    await paas.ssh(['apps:create', 'shop'])
    const set = await paas.ssh(['builder:set', 'shop', 'base', image])
    expect([set.code, set.stdout]).toEqual([0, expect.stringContaining(`base: ${image}`)])
    const first = await push('one')
    expect([first.code, first.out]).toEqual([0, expect.stringContaining('Node detected')])
    expect(first.out).toContain(`Base: ${image}@${digest} (builder:set)`)
    expect(first.out).not.toMatch(/Layers: Debian/)
    expect((await paas.get('shop')).body).toBe('vanilla vanilla /app app vanilla base')
    const info = JSON.parse((await paas.ssh(['releases:info', 'shop', '--json'])).stdout)
    expect(info.base).toBe(`${image}@${digest}`)
    expect(info.layers.map(({ kind }: { kind: string }) => kind)).toContain('image')
    const plan = JSON.parse((await paas.ssh(['builds:plan', 'shop'])).stdout)
    expect(plan.base).toEqual({ name: image, from: 'builder:set', digest })
  }, 300_000)

  test('that has not changed has nothing built again but what the source decides', async () => {
    const again = await push('two')
    expect(again.out).toContain(`@${digest}`)
    expect(again.out).not.toContain('Fetching layer')
    expect(again.out).toContain('dependencies: re-used (package.json unchanged)')
    expect(again.out).toMatch(/Layers: localhost:\d+\/team\/tools 1\/\d re-used, /)
  }, 120_000)

  test('that has another image by now makes what stands on it anew', async () => {
    const before = digest
    await publish('chocolate')
    expect(digest).not.toBe(before)
    const next = await push('three')
    expect(next.out).toContain(`@${digest}`)
    expect(next.out).toContain('-----> npm install')
    expect((await paas.get('shop')).body).toBe('chocolate chocolate /app app chocolate base')
  }, 300_000)

  test('may be a release of another app, that came as an image or was built here', async () => {
    await paas.ssh(['apps:create', 'copy'])
    expect((await paas.ssh(['git:from-image', 'copy', image])).code).toBe(0)
    await paas.ssh(['builder:set', 'shop', 'base', 'paas/copy'])
    expect((await push('copy')).out).toContain('Base: paas/copy v1@sha256:')
    expect((await paas.get('shop')).body).toBe('chocolate chocolate /app app chocolate base')
    await paas.ssh(['builder:set', 'shop', 'base', 'paas/tools:v1'])
    const own = await push('four')
    expect(own.out).toMatch(/Base: paas\/tools:v1 v1@sha256:[0-9a-f]{64} \(builder:set\)/)
    expect((await paas.get('shop')).body).toBe('vanilla vanilla /app app vanilla base')
    await paas.ssh(['builder:set', 'shop', 'base', 'paas/tools'])
    expect((await push('five')).out).toContain('Base: paas/tools v2@sha256:')
    await paas.ssh(['images:gc'])
    expect((await paas.get('shop')).body).toBe('chocolate chocolate /app app chocolate base')
  }, 300_000)

  test('may have the very layers that are laid on it', async () => {
    await paas.ssh(['apps:create', 'twin'])
    await paas.ssh(['builder:set', 'twin', 'base', 'paas/shop'])
    const { code, out } = await paas.push('twin', await paas.tree('twin', shop('of the twin')))
    expect([code, out]).toEqual([0, expect.stringContaining('Base: paas/shop v')])
    const info = JSON.parse((await paas.ssh(['releases:info', 'twin', '--json'])).stdout)
    const nodes = info.layers.filter(({ kind }: { kind: string }) => kind === 'runtime')
    expect(nodes).toHaveLength(2)
    expect((await paas.get('twin')).body).toBe('chocolate chocolate /app app chocolate base')
  }, 300_000)

  test.each([
    ['Not A Name', 2, '"Not A Name" is not the name of an image'],
    ['paas/tools:latest', 2, 'Use a name like paas/shop, or paas/shop:v3'],
  ])('cannot be named "%s"', async (name, code, seen) => {
    const set = await paas.ssh(['builder:set', 'shop', 'base', `'${name}'`])
    expect([set.code, set.stderr]).toEqual([code, expect.stringContaining(seen)])
  })

  test.each([
    ['paas/nobody', 'there is no app "nobody"'],
    ['paas/tools:v9', 'tools has no v9'],
    ['paas/shop', 'an app cannot stand on itself'],
    ['REGISTRY/no/such:v1', 'no/such:v1 is not there'],
    ['REGISTRY/team/other:arch', 'The image is for linux/riscv64'],
    ['localhost:1/shop', 'is this server itself'],
  ])(
    'that cannot be had is named: %s',
    async (name, seen) => {
      if (name.endsWith('arch')) await publishForOthers(registry.host)
      const base = name.replace('REGISTRY', registry.host)
      await paas.ssh(['builder:set', 'shop', 'base', base])
      const failed = await push(name)
      expect(failed.code).not.toBe(0)
      expect(failed.out).toContain(`Could not take the base ${base} (builder:set): `)
      expect(failed.out).toContain(seen)
      expect((await paas.get('shop')).status).toBe(200)
      expect(readdirSync(paths(paas.config).making)).toEqual([])
    },
    120_000,
  )

  test('says nothing to a Dockerfile, whose FROM may name a release as well', async () => {
    await paas.ssh(['apps:create', 'docked'])
    await paas.ssh(['builder:set', 'docked', 'base', image])
    const bare = { Dockerfile: 'FROM scratch\nCOPY Procfile /\n', Procfile: 'worker: sleep 1\n' }
    const made = await paas.push('bare', await paas.tree('bare', bare))
    expect(made.code, made.out).toBe(0)
    const files = { Dockerfile: dockerfile('paas/bare:v1'), Procfile: 'worker: sleep 1000\n' }
    const built = await paas.push('docked', await paas.tree('docked', files))
    expect(built.code, built.out).toBe(0)
    expect(built.out).toContain(`The base ${image} says nothing to a Dockerfile`)
    expect(built.out).toContain('Taking paas/bare:v1 (v1)')
    const none = { Dockerfile: dockerfile('paas/bare:v9') }
    const failed = await paas.push('docked', await paas.tree('docked', none))
    expect(failed.out).toContain('Could not get the base image paas/bare:v9: bare has no v9')
  }, 300_000)

  test('without what a language needs is refused, with the ways out', async () => {
    await paas.ssh(['apps:create', 'py'])
    await paas.ssh(['builder:set', 'py', 'base', image])
    const refused = await paas.push('py', await paas.tree('py', python))
    expect(refused.code).not.toBe(0)
    expect(refused.out).toContain(`The base ${image} (builder:set) does not have Python`)
    expect(refused.out).toContain('builder:set <app> base stack')
    await paas.ssh(['builder:set', 'py', 'base', 'paas/bare'])
    const shellless = await paas.push('py', await paas.tree('py', { 'notes.txt': 'bare' }))
    expect(shellless.out).toContain('it has no /bin/sh, with which processes are started')
  }, 120_000)

  test('that has it installed needs nothing of Debian', async () => {
    const apt = 'apt = ["python3", "python3-dev", "python3-venv"]\n'
    const files = { 'paas.toml': apt, Procfile: 'worker: sleep 1000\n' }
    const base = await paas.push('pybase', await paas.tree('pybase', files))
    expect([base.code, base.out]).toEqual([0, expect.stringContaining('deployed')])
    await paas.ssh(['builder:set', 'py', 'base'])
    const own = { ...python, 'paas.toml': 'base = "paas/pybase"\n' }
    const built = await paas.push('py', await paas.tree('py', own))
    expect(built.out).toMatch(/Base: paas\/pybase v1@sha256:\w+ \(base in paas.toml\)/)
    expect(built.out).toMatch(/Python 3\.\d+\.\d+ \(what the base has\)/)
    expect(built.out).not.toContain('apt: installing')
    expect((await paas.get('py')).body).toBe('hello')
  }, 300_000)

  test('is taken as the app has it while its registry is away', async () => {
    await paas.ssh(['builder:set', 'shop', 'base', image])
    expect((await push('there')).code).toBe(0)
    await registry[Symbol.asyncDispose]()
    await paas.ssh(['builder:set', 'py', 'base', `${registry.host}/team/other:v1`])
    const py = await paas.tree('py', { 'notes.txt': 'other' })
    const [away, other] = await Promise.all([push('away'), paas.push('py', py)])
    expect(away.code, away.out).toBe(0)
    expect(away.out).toMatch(/localhost:\d+ could not be reached/)
    expect(away.out).toContain(`The base ${image} is taken as the app has it now`)
    expect(away.out).toContain(`Base: ${image}@${digest} (builder:set)`)
    expect(away.out).toContain('dependencies: re-used')
    expect((await paas.get('shop')).body).toBe('chocolate chocolate /app app chocolate base')
    expect(other.code).not.toBe(0)
    expect(other.out).toMatch(/Could not take the base .* could not be reached/)
  }, 120_000)

  test('is taken back by the word for the stack, whatever the code says', async () => {
    const back = await paas.ssh(['builder:set', 'py', 'base', 'stack'])
    expect(back.stdout).toContain('base: stack (builder:set)')
    const built = await paas.push('py', await paas.tree('py', { 'notes.txt': 'stack' }))
    expect(built.out).toMatch(/Layers: Debian/)
    expect((await paas.get('py')).body).toBe('hello')
  }, 300_000)
})

const dockerfile = (from: string) => `FROM ${from}\nCOPY Procfile /again\n`

const python = {
  'requirements.txt': '',
  Procfile: 'web: python3 server.py\n',
  'server.py': `
import http.server, os
class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'hello')
http.server.HTTPServer(('0.0.0.0', int(os.environ['PORT'])), Hello).serve_forever()
`,
}

/** An image of no files that says it is for other machines. */
async function publishForOthers(host: string): Promise<void> {
  const repository = `http://${host}/v2/team/other`
  const upload = async (text: string) => {
    const digest = sha256(text)
    const begun = await fetch(`${repository}/blobs/uploads/`, { method: 'POST' })
    const to = new URL(begun.headers.get('location') ?? '', repository)
    to.searchParams.set('digest', digest)
    const headers = { 'content-type': 'application/octet-stream' }
    const done = await fetch(to, { method: 'PUT', body: text, headers })
    if (done.status !== 201) throw new Error(`the registry answered ${done.status}`)
    return { digest, size: text.length }
  }
  const rootfs = { type: 'layers', diff_ids: [] }
  const config = await upload(JSON.stringify({ os: 'linux', architecture: 'riscv64', rootfs }))
  const kind = 'application/vnd.oci.image'
  const mediaType = `${kind}.manifest.v1+json`
  const described = { mediaType: `${kind}.config.v1+json`, ...config }
  const body = JSON.stringify({ schemaVersion: 2, mediaType, config: described, layers: [] })
  const headers = { 'content-type': mediaType }
  const done = await fetch(`${repository}/manifests/arch`, { method: 'PUT', body, headers })
  if (done.status !== 201) throw new Error(`the registry answered ${done.status}`)
}
