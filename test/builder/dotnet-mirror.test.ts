import { mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ToolRequest } from '../../builder/buildpack-detect/plan.ts'
import { dotnetRuntime, dotnetSdk } from '../../builder/runtimes/dotnet.ts'
import { type PaasConfig, readConfig } from '../../core/config.ts'
import { failureLines } from '../../core/errors.ts'
import { exec } from '../../core/exec.ts'
import { startMirror } from './dotnet-mirror.ts'

const dir = mkdtempSync(join(tmpdir(), 'paas-dotnet-mirror-'))
let mirror: Awaited<ReturnType<typeof startMirror>>
let config: PaasConfig

beforeAll(async () => {
  const archive = async (name: string) => {
    writeFileSync(join(dir, 'dotnet'), `${name}\n`, { mode: 0o755 })
    await exec('tar', ['-czf', join(dir, `${name}.tar.gz`), '-C', dir, 'dotnet'])
    return join(dir, `${name}.tar.gz`)
  }
  const archives = { sdk: await archive('sdk'), runtime: await archive('runtime') }
  mirror = await startMirror({
    '8.0': { sdk: '8.0.404', runtime: '8.0.11', archives },
    '9.0': { sdk: '9.0.100', runtime: '9.0.0', archives },
    '10.0': { sdk: '10.0.101', runtime: '10.0.1', archives },
    '11.0': { sdk: '11.0.100-preview.1', runtime: '11.0.0-preview.1', archives },
  })
  config = readConfig({
    PAAS_HOME: join(dir, 'home'),
    PAAS_CACHE: join(dir, 'cache'),
    PAAS_DOTNET_MIRROR: mirror.url,
  })
})

afterAll(() => {
  mirror[Symbol.dispose]()
  rmSync(dir, { recursive: true })
})

test('SDK and runtime come from their makers, by the list of the one channel that fits', async () => {
  const sdk = await dotnetSdk.choose(asking('>=8.0.400 <8.0.500'), context())
  expect(sdk).toMatchObject({ version: '8.0.404', why: 'TargetFramework "net8.0" in App.csproj' })
  expect(mirror.asked).toEqual([
    '/dotnet/release-metadata/releases-index.json',
    '/dotnet/release-metadata/8.0/releases.json',
  ])
  const layer = join(dir, 'layer')
  mkdirSync(layer)
  await dotnetSdk.make('8.0.404', layer, context())
  expect(readlinkSync(join(layer, 'usr/local/bin/dotnet'))).toBe('../dotnet/dotnet')
  expect(readFileSync(join(layer, 'usr/local/bin/dotnet'), 'utf8')).toBe('sdk\n')
  const runtime = await dotnetRuntime.choose(asking('8.0.x'), context())
  expect([runtime.version, dotnetRuntime.layer(runtime.version).label]).toEqual([
    '8.0.11',
    'ASP.NET Core 8.0.11',
  ])
})

test('Where nobody says, the newest line with long support is taken; previews never', async () => {
  const free = { ...asking(''), constraint: undefined }
  expect((await dotnetSdk.choose(free, context())).version).toBe('10.0.101')
  const refused = await dotnetSdk.choose(asking('>=11.0.0'), context()).catch(failureLines)
  expect(refused).toEqual([
    ' !     No .NET SDK version satisfies TargetFramework "net8.0" in App.csproj',
    ' !     Available: 8.0.404, 9.0.100, 10.0.101',
    ' !     To choose: App.csproj',
  ])
})

test('An archive with another checksum is not used', async () => {
  const layer = join(dir, 'bad')
  mkdirSync(layer)
  const path = [...mirror.files.keys()].find((name) => name.includes('/9.0.100/')) ?? ''
  mirror.files.set(path, Buffer.from('something else'))
  await expect(dotnetSdk.make('9.0.100', layer, context())).rejects.toThrow(
    'is not what its checksum says: it is not used',
  )
})

test('A mirror that is away, or off, is told with the ways out', async () => {
  const away = readConfig({
    PAAS_CACHE: join(dir, 'other'),
    PAAS_DOTNET_MIRROR: 'http://127.0.0.1:1/',
  })
  const refused = await dotnetSdk
    .choose(asking('8.0.x'), { ...context(), config: away })
    .catch(failureLines)
  expect(refused).toEqual([
    expect.stringContaining('.NET is not to be had: http://127.0.0.1:1/release-metadata/'),
    ' !     PAAS_DOTNET_MIRROR may name a mirror of https://builds.dotnet.microsoft.com/dotnet/',
    ' !     Or build with a Dockerfile',
  ])
  const off = { ...context(), config: { ...away, dotnetMirror: undefined } }
  await expect(dotnetSdk.choose(asking('8.0.x'), off)).rejects.toThrow('PAAS_DOTNET_MIRROR is off')
})

function asking(range: string): ToolRequest {
  const constraint = { text: 'net8.0', range, from: 'TargetFramework in App.csproj' }
  return { tool: 'dotnet', constraint, pin: undefined, choose: 'App.csproj', inImage: false }
}

function context() {
  return { config, say: () => {}, signal: new AbortController().signal }
}
