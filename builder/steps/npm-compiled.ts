import { createHash } from 'node:crypto'
import { chmod, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { PaasConfig } from '../../core/config.ts'
import { stopIfCancelled } from '../../core/errors.ts'
import { exec } from '../../core/exec.ts'
import { logError } from '../../core/log.ts'
import type { Layer } from '../../core/types.ts'
import { isInside } from '../source/inside.ts'
import { ensureLayer } from '../layers/layers.ts'
import type { Sandbox } from '../sandbox.ts'

/**
 * npm's own code as V8 has compiled it. npm has Node keep that in a directory of /tmp, which is new
 * for each command of a build: to compile and to keep it anew takes a third of a second each time.
 * It is made once per host by an npm that has seen nothing of any app, and is in no image: what V8
 * makes is another on each machine.
 */

export type NpmRequest = {
  app: string
  config: PaasConfig
  sandbox: Sandbox
  /** What an npm command is about to run on, and the environment that it will have. */
  lowers: Layer[]
  env: Record<string, string>
  signal: AbortSignal
}

/** The layer for an npm command, undefined where none can be had: npm runs without it too. */
export async function compiledNpm(request: NpmRequest): Promise<Layer | undefined> {
  const { config, env, signal } = request
  const lowers = request.lowers.filter(({ kind }) => tools.has(kind))
  const node = lowers.find(({ kind, key }) => kind === 'runtime' && key.startsWith('node-'))
  if (!node) return undefined
  // Flags of V8 are part of what it compiles.
  const hash = createHash('sha256').update(JSON.stringify([node.key, env.NODE_OPTIONS]))
  const key = `npm-compiled-1-${hash.digest('hex').slice(0, 24)}`
  const layer: Layer = { kind: 'runtime', key, label: 'npm, compiled' }
  if (failed.has(key)) return undefined
  try {
    await ensureLayer(config, {
      layer,
      signal,
      make: (dir) => compile(dir, { ...request, lowers }),
    })
    return layer
  } catch (error) {
    stopIfCancelled(signal)
    failed.add(key)
    logError('npm-not-compiled', error, { node: node.key })
    return undefined
  }
}

const tools = new Set<Layer['kind']>(['stack', 'apt', 'runtime'])
const failed = new Set<string>()
const kept = 'tmp/node-compile-cache'
const timeoutMs = 60_000

/** An install of nothing loads what every command of npm does. */
const install = `cd "$(mktemp -d)"
echo '{"name":"empty","version":"1.0.0"}' > package.json
echo '{"name":"empty","lockfileVersion":3,"packages":{"":{"name":"empty"}}}' > package-lock.json
npm ci --ignore-scripts`

async function compile(dir: string, request: NpmRequest): Promise<void> {
  const { app, sandbox, lowers: layers, env, signal } = request
  const words: string[] = []
  const result = await sandbox({
    ...{ app, layers, env, signal, timeoutMs },
    argv: ['sh', '-ec', install],
    user: 'app',
    mounts: [],
    onLine: (line) => void words.push(line),
  })
  try {
    if (result.code !== 0) throw new Error(words.slice(-5).join(' · '))
    await mkdir(join(dir, 'tmp'))
    await chmod(join(dir, 'tmp'), 0o1777) // it is the one that a command sees
    // Of an older npm there is nothing to keep.
    if (!(await isInside(result.upper, kept))) return
    await exec('cp', ['--archive', '--', join(result.upper, kept), join(dir, 'tmp')], { signal })
  } finally {
    await result.discard()
  }
}
