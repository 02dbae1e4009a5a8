import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ToolRequest } from '../../builder/buildpack-detect/plan.ts'
import { rustRuntime } from '../../builder/runtimes/rust.ts'
import { type PaasConfig, readConfig } from '../../core/config.ts'
import { failureLines } from '../../core/errors.ts'
import { exec } from '../../core/exec.ts'
import { paths } from '../../core/names.ts'
import { type Mirror, serveFiles } from './mirror.ts'

const dir = mkdtempSync(join(tmpdir(), 'paas-rust-mirror-'))
const target = `${process.arch === 'x64' ? 'x86_64' : 'aarch64'}-unknown-linux-gnu`
let mirror: Mirror
let config: PaasConfig

/** As static.rust-lang.org has them: a folder of the archive's name, in it one of the part's. */
const parts: [part: string, folder: string, file: string][] = [
  ['rustc', 'rustc', 'bin/rustc'],
  ['cargo', 'cargo', 'bin/cargo'],
  ['rust-std', `rust-std-${target}`, `lib/rustlib/${target}/lib/libstd.rlib`],
]

beforeAll(async () => {
  const published = new Map<string, Buffer>()
  for (const version of ['1.99.0', '1.98.2']) {
    for (const [part, folder, file] of parts) {
      const name = `${part}-${version}-${target}`
      const place = join(dir, name, folder)
      mkdirSync(join(place, file, '..'), { recursive: true })
      writeFileSync(join(place, file), `${part} ${version}\n`)
      writeFileSync(join(place, 'manifest.in'), `file:${file}\n`)
      await exec('tar', ['-czf', join(dir, 'made.tar.gz'), '-C', dir, name])
      const archive = readFileSync(join(dir, 'made.tar.gz'))
      const sum = createHash('sha256').update(archive).digest('hex')
      const said = version === '1.98.2' ? sum.replaceAll(/[0-9]/g, '0') : sum
      published.set(`/dist/${name}.tar.gz`, archive)
      published.set(`/dist/${name}.tar.gz.sha256`, Buffer.from(`${said}  ${name}.tar.gz\n`))
    }
  }
  const lines = ['1.98.2', '1.99.0', 'beta', 'nightly'].map((version) => {
    return `static.rust-lang.org/dist/2026-01-01/channel-rust-${version}.toml\n`
  })
  published.set('/manifests.txt', Buffer.from(lines.join('')))
  mirror = await serveFiles(published)
  config = readConfig({
    PAAS_HOME: join(dir, 'home'),
    PAAS_CACHE: join(dir, 'cache'),
    PAAS_RUST_MIRROR: mirror.url,
  })
})

afterAll(() => {
  mirror[Symbol.dispose]()
  rmSync(dir, { recursive: true })
})

test('A Rust that Debian has not comes from its makers: compiler, cargo and library in one', async () => {
  const choice = await rustRuntime.choose(asking('1.99'), context())
  expect(choice).toMatchObject({ version: '1.99.0', why: 'rust-toolchain.toml "1.99"' })
  const layer = join(dir, 'layer')
  mkdirSync(layer)
  await rustRuntime.make('1.99.0', layer, context())
  const read = (path: string) => readFileSync(join(layer, 'usr/local', path), 'utf8')
  expect(parts.map(([, , file]) => read(file))).toEqual(parts.map(([part]) => `${part} 1.99.0\n`))
  expect(existsSync(join(layer, 'usr/local/manifest.in'))).toBe(false)
  expect((await exec('ls', [layer])).stdout).toBe('usr\n')

  const sum = `rustc-1.99.0-${target}`
  utimesSync(paths(config).versions(sum), new Date(0), new Date(0))
  const again = join(dir, 'again')
  mkdirSync(again)
  await rustRuntime.make('1.99.0', again, context())
  const checksums = mirror.asked.filter((path) => path === `/dist/${sum}.tar.gz.sha256`)
  expect(checksums).toHaveLength(1) // it never changes
})

test('An archive with another checksum is not used', async () => {
  const layer = join(dir, 'bad')
  mkdirSync(layer)
  await expect(rustRuntime.make('1.98.2', layer, context())).rejects.toThrow(
    `rustc-1.98.2-${target}.tar.gz is not what its checksum says: it is not used`,
  )
})

test('A version that nobody has is refused with those that are published', async () => {
  const refused = await rustRuntime.choose(asking('2.0'), context()).catch(failureLines)
  expect(refused).toEqual([
    ' !     No Rust version satisfies rust-toolchain.toml "2.0"',
    ' !     Available: 1.98.2, 1.99.0',
    ' !     To choose: rust-toolchain.toml',
  ])
})

function asking(text: string): ToolRequest {
  const pin = { text, range: `${text}.x`, from: 'rust-toolchain.toml' }
  const choose = 'rust-toolchain.toml'
  return { tool: 'rust', constraint: undefined, pin, choose, inImage: false }
}

function context() {
  return { config, say: () => {}, signal: new AbortController().signal }
}
