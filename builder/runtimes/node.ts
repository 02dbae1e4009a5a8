import { mkdir, rename, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import semver from 'semver'
import { isLts } from '../buildpack-detect/node-version.ts'
import { chooseFromNpm, unpack } from './npm-package.ts'
import type { Runtime, RuntimeContext } from './runtime.ts'

/** Node from the npm registry: the same binaries as the project's own, for every version. */
export const nodeRuntime: Runtime = {
  choose: (request, context) => {
    const sources = [{ package: packageName, offers: isOffered }]
    return chooseFromNpm(request, { name: 'Node', sources, isStable: isLts }, context)
  },
  layer: (version) => ({
    kind: 'runtime',
    key: `node-${version}-npm-${npmRange(version)}-${process.arch}-1`,
    label: `Node ${version}`,
  }),
  make: makeNode,
  packages: (version) => {
    const libraries = semver.major(version) >= atomicSince ? ['libatomic1'] : []
    return { run: libraries, build: libraries }
  },
  buildEnv: (version) => ({ [nodedirVariable(version)]: '/usr/local' }),
}

const packageName = `node-linux-${process.arch}`
const majorMin = 10
/** Its binaries are linked to libatomic, which the stack has not. */
const atomicSince = 25

function isOffered(version: string): boolean {
  return semver.major(version) >= majorMin
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
