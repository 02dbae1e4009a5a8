import { chmod, mkdir, rename, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import semver from 'semver'
import { checkHash, chooseFromNpm, type NpmSource, hashOf, unpack } from './npm-package.ts'
import type { Runtime, RuntimeContext } from './runtime.ts'

/** JavaScript's package managers, from the npm registry: every version, exact. */

type Fetched = { version: string; lib: string; context: RuntimeContext }

export const pnpmRuntime = manager({
  name: 'pnpm',
  sources: [{ package: 'pnpm', offers: (version) => semver.major(version) >= 5 }],
  fetch: async ({ version, lib, context }): Promise<Record<string, string>> => {
    const { plain, hash } = hashOf(version)
    await unpack(`pnpm@${plain}`, lib, context, hash)
    if (semver.major(plain) < 12) {
      const suffix = semver.major(plain) < 11 ? 'cjs' : 'mjs'
      return { pnpm: `bin/pnpm.${suffix}`, pnpx: `bin/pnpx.${suffix}` }
    }
    // Since 12 it is a native program, in a package of its own for each platform.
    const native = `${lib}.native`
    await unpack(`@pnpm/exe.linux-${process.arch}@${plain}`, native, context)
    await rename(join(native, 'pnpm'), join(lib, 'pnpm'))
    await rm(native, { recursive: true })
    return { pnpm: 'pnpm' }
  },
})

/** Yarn 1 and all later ones: two packages, one tool. */
export const yarnRuntime = manager({
  name: 'Yarn',
  sources: [
    { package: 'yarn', offers: (version) => semver.major(version) === 1 },
    { package: '@yarnpkg/cli-dist', offers: (version) => semver.major(version) >= 2 },
  ],
  fetch: async ({ version, lib, context }) => {
    const { plain, hash } = hashOf(version)
    const program = { yarn: 'bin/yarn.js', yarnpkg: 'bin/yarn.js' }
    if (semver.major(plain) === 1) {
      await unpack(`yarn@${plain}`, lib, context, hash)
      return program
    }
    await unpack(`@yarnpkg/cli-dist@${plain}`, lib, context)
    // Yarn publishes itself as one file, and hashes that.
    if (hash) await checkHash(join(lib, 'bin/yarn.js'), hash, `Yarn ${plain}`)
    return program
  },
})

/** For who asks for another npm than the one that came with Node. */
export const npmRuntime = manager({
  name: 'npm',
  sources: [{ package: 'npm', offers: (version) => semver.major(version) >= 6 }],
  fetch: async ({ version, lib, context }) => {
    const { plain, hash } = hashOf(version)
    await unpack(`npm@${plain}`, lib, context, hash)
    return { npm: 'bin/npm-cli.js', npx: 'bin/npx-cli.js' }
  },
})

/** `fetch` fills `lib`, and says which files of it are the commands. */
function manager(o: {
  name: string
  sources: NpmSource[]
  fetch: (fetched: Fetched) => Promise<Record<string, string>>
}): Runtime {
  const tool = o.name.toLowerCase()
  return {
    choose: (request, context) => {
      return chooseFromNpm(
        request,
        { name: o.name, sources: o.sources, preferNewest: true },
        context,
      )
    },
    layer: (version) => {
      const { plain, hash } = hashOf(version)
      const checked = hash ? `-${hash.algorithm}-${hash.hex.slice(0, 32)}` : ''
      return {
        kind: 'runtime',
        key: `${tool}-${plain}${checked}-${process.arch}-1`,
        label: `${o.name} ${plain}`,
      }
    },
    make: async (version, dir, context) => {
      const lib = join(dir, 'usr/local/lib', `${tool}-${hashOf(version).plain}`)
      const bin = join(dir, 'usr/local/bin')
      await mkdir(bin, { recursive: true })
      const commands = await o.fetch({ version, lib, context })
      for (const [name, file] of Object.entries(commands)) {
        await chmod(join(lib, file), 0o755)
        await symlink(`../lib/${tool}-${hashOf(version).plain}/${file}`, join(bin, name))
      }
    },
    buildEnv: () => ({}),
  }
}
