import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { exec } from '../../core/exec.ts'
import { paths } from '../../core/names.ts'
import { isInstalled, login, startRegistry } from './docker-registry.ts'
import { type Paas, startPaas } from './instance.ts'

type Pushed = {
  digest: string
  bytes: number
  blobs: { digest: string; bytes: number; outcome: string }[]
}

describe.skipIf(!isInstalled)("a registry, where Debian's is installed,", () => {
  const end = new AsyncDisposableStack()
  let paas: Paas
  let open: Awaited<ReturnType<typeof startRegistry>>
  beforeAll(async () => {
    paas = end.use(await startPaas())
    open = end.use(await startRegistry(join(paas.base, 'open')))
    await paas.push('shop', await paas.tree('shop', { 'index.html': 'one' }))
    await paas.ssh(['apps:create', 'copy'])
  })
  afterAll(() => end.disposeAsync())

  async function push(image: string, ...release: string[]): Promise<Pushed> {
    const { stdout, stderr } = await paas.ssh(['images:push', 'shop', ...release, image, '--json'])
    if (stdout === '') throw new Error(stderr)
    return JSON.parse(stdout)
  }
  const outcomes = ({ blobs }: Pushed) => blobs.map(({ outcome }) => outcome)

  test('of this machine is used only when root on the server allows it', async () => {
    const refused = await paas.ssh(['images:push', 'shop', `${open.host}/shop`])
    expect([refused.code, refused.stderr]).toEqual([
      21,
      expect.stringContaining(`paas registry:allow ${open.host}`),
    ])
    expect((await paas.ssh(['registry:allow', open.host])).code).toBe(21)
    expect((await paas.paas(['registry:allow', open.host])).code).toBe(0)
  })

  let first: Pushed
  test('gets every layer once, and a second push of the same sends nothing', async () => {
    first = await push(`${open.host}/team/shop:v1`)
    expect(new Set(outcomes(first))).toEqual(new Set(['sent']))
    const again = await push(`${open.host}/team/shop:again`)
    expect([new Set(outcomes(again)), again.bytes]).toEqual([new Set(['there']), 0])
    expect(again.digest).toBe(first.digest)
  }, 180_000)

  test('gets only the changed layer of a redeploy', async () => {
    await paas.push('shop', await paas.tree('shop', { 'index.html': 'two' }))
    const second = await push(`${open.host}/team/shop:v2`)
    // The layer of the source and the configuration, which names the commit.
    expect(outcomes(second).filter((outcome) => outcome === 'sent')).toHaveLength(2)
    expect(second.bytes).toBeLessThan(4096)
  })

  test('takes layers over from its other repositories', async () => {
    const other = await push(`${open.host}/elsewhere:v1`, 'v1')
    expect(new Set(outcomes(other).slice(0, -1))).toEqual(new Set(['mounted']))
    expect(other.digest).toBe(first.digest)
  })

  test('has what other tools can read', async () => {
    const image = `docker://${open.host}/team/shop:v1`
    const inspect = ['inspect', '--tls-verify=false', image]
    const { stdout } = await exec('skopeo', inspect)
    expect(JSON.parse(stdout)).toMatchObject({ Digest: first.digest, Os: 'linux' })
  })

  test('gives an image by its digest, which becomes a release', async () => {
    const image = `${open.host}/team/shop@${first.digest}`
    const { code, stdout, stderr } = await paas.ssh(['git:from-image', 'copy', image])
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toContain('Fetching layer 1 of 3')
    expect((await paas.get('copy')).body).toBe('one')
    const cause = `Deploy ${open.host}/team/shop ${first.digest.slice(7, 19)}`
    expect((await paas.ssh(['releases', 'copy'])).stdout).toContain(cause)
  }, 180_000)

  test('is asked for the one new layer of the next tag alone', async () => {
    const { stdout } = await paas.ssh(['git:from-image', 'copy', `${open.host}/team/shop:v2`])
    expect(stdout.match(/Fetching layer/g)).toHaveLength(1)
    expect((await paas.get('copy')).body).toBe('two')
  })

  test.each(['password', 'token'] as const)(
    'that wants a %s gets it',
    async (auth) => {
      await using closed = await startRegistry(join(paas.base, auth), auth)
      const image = `${closed.host}/team/tiny:v1`
      const tiny = { Dockerfile: 'FROM scratch\nCOPY Procfile /\n', Procfile: 'worker: true\n' }
      expect((await paas.push('tiny', await paas.tree('tiny', tiny))).code).toBe(0)
      await paas.ssh(['apps:create', auth])
      await paas.paas(['registry:allow', closed.host])
      const refused = await paas.ssh(['images:push', 'tiny', image])
      expect(refused.stderr).toContain(`registry:login ${closed.host} USER`)
      await paas.ssh(['registry:login', closed.host, login.user], `${login.password}\n`)
      const { code, stderr } = await paas.ssh(['images:push', 'tiny', image])
      expect([code, stderr]).toEqual([0, ''])
      expect((await paas.ssh(['git:from-image', auth, image])).code).toBe(0)
      const list = await paas.ssh(['registry:list'])
      expect(list.stdout).toMatch(new RegExp(`${closed.host} +${login.user} +without TLS`))
      const written = readdirSync(paas.config.home).filter((name) => name.startsWith('paas.db'))
      expect(written).toContain('paas.db')
      for (const name of written) {
        expect(readFileSync(join(paas.config.home, name)).includes(login.password)).toBe(false)
      }
      await paas.ssh(['registry:logout', closed.host])
      expect((await paas.ssh(['git:from-image', auth, image])).code).toBe(1)
    },
    180_000,
  )

  test('that is not there, or has no such image, is named, and nothing changes', async () => {
    const none = await paas.ssh(['git:from-image', 'copy', `${open.host}/no/such:v1`])
    expect([none.code, none.stderr]).toEqual([
      1,
      expect.stringContaining('no/such:v1 is not there'),
    ])
    const wrong = `${open.host}/team/shop@sha256:${'0'.repeat(64)}`
    expect((await paas.ssh(['git:from-image', 'copy', wrong])).code).toBe(1)
    await paas.paas(['registry:allow', 'localhost:1'])
    const away = await paas.ssh(['git:from-image', 'copy', 'localhost:1/shop'])
    expect([away.code, away.stderr]).toEqual([75, expect.stringContaining('could not be reached')])
    expect((await paas.ssh(['git:from-image', 'copy', 'Not A Name'])).code).toBe(2)
    expect((await paas.get('copy')).body).toBe('two')
  })

  test('that gives other bytes than it says is not believed', async () => {
    await paas.ssh(['apps:create', 'fresh'])
    const digest = await damage(open.dir)
    await paas.push('shop', await paas.tree('shop', { 'index.html': 'three' }))
    await paas.ssh(['apps:destroy', 'copy', '--force'])
    const { layers } = paths(paas.config)
    for (const name of readdirSync(layers).filter((one) => one.startsWith('image-'))) {
      rmSync(join(layers, name), { recursive: true, force: true })
    }
    const image = `${open.host}/team/shop:v2`
    const { code, stderr } = await paas.ssh(['git:from-image', 'fresh', image])
    expect([code, stderr]).toEqual([75, expect.stringContaining(digest)])
    expect(readdirSync(paths(paas.config).making)).toEqual([])
    expect(readdirSync(layers).filter((one) => /^image-[0-9a-f]+$/.test(one))).toEqual([])
  }, 180_000)
})

/** Changes one byte of the largest blob that the registry keeps; returns its digest. */
async function damage(dir: string): Promise<string> {
  const data = join(dir, 'data/docker/registry/v2/blobs/sha256')
  const { stdout } = await exec('find', [data, '-name', 'data', '-printf', '%s %p\\n'])
  const files = stdout
    .trim()
    .split('\n')
    .map((line) => line.split(' '))
  const [, file = ''] = files.sort(([a], [b]) => Number(b) - Number(a))[0] ?? []
  await exec('dd', [`of=${file}`, 'bs=1', 'seek=5000', 'conv=notrunc', 'status=none'], {
    input: 'damaged',
  })
  return /sha256\/..\/([0-9a-f]{64})/.exec(file)?.[1] ?? 'no blob'
}
