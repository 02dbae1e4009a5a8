import { createHash } from 'node:crypto'
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ToolRequest } from '../../builder/buildpack-detect/plan.ts'
import { goRuntime } from '../../builder/runtimes/go.ts'
import { type PaasConfig, readConfig } from '../../core/config.ts'
import { failureLines } from '../../core/errors.ts'
import { exec } from '../../core/exec.ts'
import { paths } from '../../core/names.ts'
import { type Mirror, serveFiles } from './mirror.ts'

const dir = mkdtempSync(join(tmpdir(), 'paas-go-mirror-'))
let mirror: Mirror
let config: PaasConfig
const listAt = '/dl/?mode=json&include=all'

beforeAll(async () => {
  mkdirSync(join(dir, 'go/bin'), { recursive: true })
  for (const name of ['go', 'gofmt']) writeFileSync(join(dir, 'go/bin', name), `${name}\n`)
  await exec('tar', ['-czf', join(dir, 'go.tar.gz'), '-C', dir, 'go'])
  const archive = readFileSync(join(dir, 'go.tar.gz'))
  const sha256 = createHash('sha256').update(archive).digest('hex')
  const list = JSON.stringify([
    release('go1.99.0', 'good', sha256),
    release('go1.98.2', 'bad', sha256.replaceAll(/[0-9]/g, '0')),
    { ...release('go2.0rc1', 'soon', sha256), stable: false },
  ])
  const files = {
    [listAt]: Buffer.from(list),
    '/dl/good.tar.gz': archive,
    '/dl/bad.tar.gz': archive,
  }
  mirror = await serveFiles(new Map(Object.entries(files)))
  config = readConfig({
    PAAS_HOME: join(dir, 'home'),
    PAAS_CACHE: join(dir, 'cache'),
    PAAS_GO_MIRROR: `${mirror.url}/dl`,
  })
})

afterAll(() => {
  mirror[Symbol.dispose]()
  rmSync(dir, { recursive: true })
})

test('A Go that Debian has not comes from its makers, by its checksum', async () => {
  const choice = await goRuntime.choose(asking('>=1.99.0'), context())
  expect(choice).toMatchObject({ version: '1.99.0', why: 'go "1.99" in go.mod' })
  const layer = join(dir, 'layer')
  mkdirSync(layer)
  await goRuntime.make('1.99.0', layer, context())
  expect(readlinkSync(join(layer, 'usr/local/bin/go'))).toBe('../go/bin/go')
  expect(readFileSync(join(layer, 'usr/local/bin/go'), 'utf8')).toBe('go\n')
  expect(mirror.asked).toEqual([listAt, '/dl/good.tar.gz'])
})

test('An archive with another checksum is not used', async () => {
  const layer = join(dir, 'bad')
  mkdirSync(layer)
  await expect(goRuntime.make('1.98.2', layer, context())).rejects.toThrow(
    'bad.tar.gz is not what its checksum says: it is not used',
  )
})

test('A version that nobody has is refused with those that are published', async () => {
  const refused = await goRuntime.choose(asking('>=2.0.0'), context()).catch(failureLines)
  expect(refused).toEqual([
    ' !     No Go version satisfies go "1.99" in go.mod',
    ' !     Available: 1.99.0, 1.98.2',
    ' !     To choose: go.mod',
  ])
})

test('A list that cannot be had anew is used as it was, and asked for again an hour later', async () => {
  const file = paths(config).versions(`go-${process.arch}`)
  const old = () => utimesSync(file, new Date(0), new Date(0))
  const listed = mirror.files.get(listAt) ?? Buffer.from('')
  const said: string[] = []
  const choose = async () => {
    said.length = 0
    const away = { ...context(), say: (line: string) => said.push(line) }
    return (await goRuntime.choose(asking('>=1.99.0'), away)).version
  }
  for (const answer of [undefined, Buffer.from('<html>')]) {
    if (answer) mirror.files.set(listAt, answer)
    else mirror.files.delete(listAt)
    old()
    expect(await choose()).toBe('1.99.0')
    expect(said.at(-1)).toMatch(/^ !     Go: .*: choosing among the releases known before$/)
    expect(await choose()).toBe('1.99.0')
    expect(said).toEqual([])
  }
  mirror.files.set(listAt, listed)
  writeFileSync(file, '') // as a power cut may leave it
  expect(await choose()).toBe('1.99.0')
  expect(readFileSync(file)).toEqual(listed)
})

test('A mirror that is no address is refused, and off is none', () => {
  expect(() => readConfig({ PAAS_GO_MIRROR: 'ftp://x' })).toThrow('expected an address of the web')
  expect(readConfig({ PAAS_GO_MIRROR: 'off' }).goMirror).toBeUndefined()
})

function release(version: string, name: string, sha256: string) {
  const files = ['amd64', 'arm64'].map((arch) => {
    return { filename: `${name}.tar.gz`, os: 'linux', arch, kind: 'archive', sha256 }
  })
  return { version, stable: true, files }
}

function asking(range: string): ToolRequest {
  const constraint = { text: '1.99', range, from: 'go in go.mod' }
  return { tool: 'go', constraint, pin: undefined, choose: 'go.mod', inImage: false }
}

function context() {
  return { config, say: () => {}, signal: new AbortController().signal }
}
