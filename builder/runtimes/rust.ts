import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import semver from 'semver'
import type { PaasConfig } from '../../core/config.ts'
import { Failure } from '../../core/errors.ts'
import { exec } from '../../core/exec.ts'
import { newId } from '../../core/names.ts'
import { readList, unpackArchive } from './makers.ts'
import type { Runtime, RuntimeContext } from './runtime.ts'
import { chooseVersion, noVersion } from './versions.ts'

/** Rust as its makers publish it, for the versions that the suite has not; with their checksums. */
export const rustRuntime: Runtime = {
  choose: async (request, context) => {
    const available = await readReleases(context)
    const choice = chooseVersion(request, { available, isStable: () => true })
    if (choice) return choice
    throw noVersion('Rust', request, available)
  },
  layer: (version) => ({
    kind: 'runtime',
    key: `rust-${version}-${process.arch}-1`,
    label: `Rust ${version}`,
  }),
  make: makeRust,
  buildEnv: () => ({}),
}

const machine: Record<string, string> = { x64: 'x86_64', arm64: 'aarch64' }
const target = `${machine[process.arch]}-unknown-linux-gnu`
/** Each is an archive of its own, without the documents and tools that no build asks for. */
const parts = ['rustc', 'cargo', `rust-std`]
const copyTimeoutMs = 5 * 60_000

async function makeRust(version: string, dir: string, context: RuntimeContext): Promise<void> {
  const { config, signal } = context
  const local = join(dir, 'usr/local')
  await mkdir(local, { recursive: true })
  for (const part of parts) {
    const name = `${part}-${version}-${target}`
    const url = new URL(`dist/${name}.tar.gz`, mirrorOf(config)).href
    const checksum = await readChecksum(name, url, context)
    const unpacked = join(dir, newId())
    await mkdir(unpacked)
    await unpackArchive({ url, algorithm: 'sha256', checksum }, unpacked, signal)
    // `rustc-1.85.0-…/rustc/{bin,lib}`; the folder of the standard library has the target's name.
    const files = join(unpacked, name, part === 'rust-std' ? `${part}-${target}` : part)
    await exec('cp', ['--archive', '--', `${files}/.`, local], { signal, timeoutMs: copyTimeoutMs })
    await rm(join(local, 'manifest.in'), { force: true })
    await rm(unpacked, { recursive: true })
  }
}

function readReleases(context: RuntimeContext): Promise<string[]> {
  const url = new URL('manifests.txt', mirrorOf(context.config)).href
  return readList({ key: `rust-${process.arch}`, name: 'Rust', url, parse: parseReleases }, context)
}

/** Lines such as `static.rust-lang.org/dist/2025-02-20/channel-rust-1.85.0.toml`. */
function parseReleases(content: string): string[] {
  const found = content.matchAll(/\/channel-rust-(\d+\.\d+\.\d+)\.toml\s*$/gm)
  const versions = [...new Set([...found].map(([, version = '']) => version))]
  if (versions.length > 0) return semver.sort(versions)
  throw new Failure('failed', 'The list of Rust releases has none in it')
}

function readChecksum(name: string, url: string, context: RuntimeContext): Promise<string> {
  const parse = (content: string) => {
    const [, checksum] = /^([0-9a-f]{64})\s/.exec(content) ?? []
    if (checksum !== undefined) return checksum
    throw new Failure('failed', `The checksum of ${name} is none`)
  }
  const list = { key: name, name: 'Rust', url: `${url}.sha256`, parse, isFinal: true }
  return readList(list, context)
}

function mirrorOf({ rustMirror }: PaasConfig): string {
  if (rustMirror !== undefined) return rustMirror
  throw new Failure('failed', 'Rust is taken from Debian alone: PAAS_RUST_MIRROR is off')
}
