import { readFileSync } from 'node:fs'
import { chmod, mkdir, rename, rm, symlink } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { cacheTarget } from '../buildpack-detect/plan.ts'
import { chooseFromNpm, hashOf, unpack } from './npm-package.ts'
import type { Runtime, RuntimeContext } from './runtime.ts'

/** Bun itself. Processors without AVX2 get the build that does without. */
export const bunRuntime: Runtime = {
  choose: (request, context) => {
    const sources = [{ package: bunPackage(), offers: () => true }]
    return chooseFromNpm(request, { name: 'Bun', sources, preferNewest: true }, context)
  },
  layer: (version) => ({
    kind: 'runtime',
    key: `${bunPackage().slice('@oven/'.length)}-${hashOf(version).plain}-1`,
    label: `Bun ${hashOf(version).plain}`,
  }),
  make: async (version, dir, context) => {
    await single(`${bunPackage()}@${hashOf(version).plain}`, 'bin/bun', dir, context)
    await symlink('bun', join(dir, 'usr/local/bin/bunx'))
  },
  buildEnv: () => ({ BUN_INSTALL_CACHE_DIR: `${cacheTarget}/bun` }),
}

export const denoRuntime: Runtime = {
  choose: (request, context) => {
    const sources = [{ package: denoPackage, offers: () => true }]
    return chooseFromNpm(request, { name: 'Deno', sources, preferNewest: true }, context)
  },
  layer: (version) => ({
    kind: 'runtime',
    key: `deno-${version}-${process.arch}-1`,
    label: `Deno ${version}`,
  }),
  make: (version, dir, context) => single(`${denoPackage}@${version}`, 'deno', dir, context),
  // It brings certificates of its own; the host's are what the registry is reached with.
  buildEnv: () => ({ DENO_TLS_CA_STORE: 'system', DENO_NO_UPDATE_CHECK: '1' }),
}

const denoPackage = `@deno/linux-${process.arch}-glibc`

function bunPackage(): string {
  if (process.arch === 'arm64') return '@oven/bun-linux-aarch64'
  const flags = readFileSync('/proc/cpuinfo', 'utf8')
  return /^flags\s*:.*\bavx2\b/m.test(flags)
    ? '@oven/bun-linux-x64'
    : '@oven/bun-linux-x64-baseline'
}

/** A package that is one program. */
async function single(spec: string, file: string, dir: string, context: RuntimeContext) {
  const unpacked = join(dir, 'unpacked')
  const bin = join(dir, 'usr/local/bin')
  const program = join(bin, basename(file))
  await unpack(spec, unpacked, context)
  await mkdir(bin, { recursive: true })
  await rename(join(unpacked, file), program)
  await chmod(program, 0o755)
  await rm(unpacked, { recursive: true })
}
