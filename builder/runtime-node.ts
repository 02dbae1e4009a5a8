import { mkdir, rename, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import semver from 'semver'
import { exec } from '../core/exec.ts'
import { isLts } from './buildpack-detect/node-version.ts'
import type { Runtime, RuntimeContext } from './runtime.ts'
import { chooseVersion, noVersion, publishedVersions } from './versions.ts'

/** Node from the npm registry: the same binaries as the project's own, for every version. */
export const nodeRuntime: Runtime = {
  choose: async (request, { config, say, signal }) => {
    const chosenFrom = async (fresh: boolean) => {
      const published = await publishedVersions(config, packageName, { say, signal, fresh })
      const available = published.filter(isOffered)
      return { available, choice: chooseVersion(request, { available, isStable: isLts }) }
    }
    const { choice } = await chosenFrom(false)
    if (choice) return choice
    // It may have been published since the list was read.
    const { available, choice: second } = await chosenFrom(true)
    if (second) return second
    throw noVersion('Node', request, available)
  },
  layer: (version) => ({
    kind: 'runtime',
    key: `node-${version}-npm-${npmRange(version)}-${process.arch}-1`,
    label: `Node ${version}`,
  }),
  make: makeNode,
  buildEnv: (version) => ({ [nodedirVariable(version)]: '/usr/local' }),
}

const packageName = `node-linux-${process.arch}`
const majorMin = 10
const packTimeoutMs = 5 * 60_000

function isOffered(version: string): boolean {
  return semver.prerelease(version) === null && semver.major(version) >= majorMin
}

/** The npm line that shipped with a Node: newer ones refuse to run on it. */
function npmRange(version: string): string {
  const byNode: [from: string, npm: string][] = [
    ['24.0.0', '11'],
    ['20.5.0', '10'],
    ['20.0.0', '9'],
    ['18.17.0', '10'],
    ['18.0.0', '9'],
    ['16.0.0', '8'],
    ['15.0.0', '7'],
    ['0.0.0', '6'],
  ]
  return byNode.find(([from]) => semver.gte(version, from))?.[1] ?? '6'
}

/** Where node-gyp finds the headers that lie in the layer; npm 11 warns of the older name. */
function nodedirVariable(version: string): string {
  return npmRange(version) === '11' ? 'npm_package_config_node_gyp_nodedir' : 'npm_config_nodedir'
}

async function makeNode(version: string, dir: string, context: RuntimeContext): Promise<void> {
  const usrLocal = join(dir, 'usr', 'local')
  const npm = join(usrLocal, 'lib', 'node_modules', 'npm')
  await mkdir(npm, { recursive: true })
  await Promise.all([
    unpack(`${packageName}@${version}`, usrLocal, context),
    unpack(`npm@${npmRange(version)}`, npm, context),
  ])
  for (const name of ['npm', 'npx']) {
    await symlink(`../lib/node_modules/npm/bin/${name}-cli.js`, join(usrLocal, 'bin', name))
  }
  for (const name of ['README.md', 'CHANGELOG.md', 'package.json']) {
    await rm(join(usrLocal, name), { force: true })
  }
  await mkdir(join(usrLocal, 'share', 'doc', 'node'), { recursive: true })
  await rename(join(usrLocal, 'LICENSE'), join(usrLocal, 'share', 'doc', 'node', 'LICENSE'))
}

/** `npm pack` checks the package against the registry's hash before it writes it. */
async function unpack(spec: string, into: string, { signal }: RuntimeContext): Promise<void> {
  const packed = `${into}.pack`
  await mkdir(packed, { recursive: true })
  const options = { cwd: packed, signal, timeoutMs: packTimeoutMs }
  const { stdout } = await exec('npm', ['pack', '--json', '--', spec], options)
  await exec(
    'tar',
    ['--extract', '--gzip', `--file=${join(packed, packedName(stdout))}`, ...asRoot],
    {
      ...options,
      cwd: into,
    },
  )
  await rm(packed, { recursive: true })
}

const asRoot = ['--strip-components=1', '--no-same-owner', '--no-same-permissions']

/** npm 11 prints a list, newer ones an object by name; the file name is all that is wanted. */
function packedName(json: string): string {
  const name = /"filename":\s*"([A-Za-z0-9._-]+\.tgz)"/.exec(json)?.[1]
  if (!name) throw new Error(`npm pack did not name its file: ${json.slice(0, 200)}`)
  return name
}
