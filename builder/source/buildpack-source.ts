import { chown, mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { appUser, type PaasConfig } from '../../core/config.ts'
import { exec } from '../../core/exec.ts'
import { newId, paths } from '../../core/names.ts'
import type { Layer } from '../../core/types.ts'
import type { GitTool } from '../buildpack-detect/plan.ts'
import type { Commit } from './checkout.ts'
import { fetchRef, parseRemote } from '../import/remote.ts'
import { ensureLayer } from '../layers/layers.ts'
import { extractTree } from './submodules.ts'

/**
 * Fetches a tool that is a git repository, over https or ssh, and makes a layer of it, named by its
 * commit. Failure: it cannot be fetched.
 */
export async function fetchTool(
  config: PaasConfig,
  { url, ref, into }: GitTool,
  { ssh = async () => 'ssh', signal }: { ssh?: Commit['ssh']; signal: AbortSignal },
): Promise<{ commit: string; layer: Layer }> {
  const scratch = join(paths(config).making, `fetch-${newId()}`)
  const repo = join(scratch, 'repo')
  try {
    await mkdir(scratch, { recursive: true })
    await exec('git', ['init', '--quiet', '--bare', '--template=', '--', repo], { signal })
    const to = 'refs/heads/import'
    const request = { remote: parseRemote(url), repo, from: ref, to, depth: 1 }
    await fetchRef({ ...request, ssh: await ssh() }, signal)
    const asked = ['rev-parse', '--verify', '--end-of-options', `${to}^{commit}`]
    const { stdout } = await exec('git', [`--git-dir=${repo}`, ...asked], { signal })
    const commit = stdout.trim()
    const key = `tool-${into.replaceAll('/', '-')}-${commit}`
    const layer: Layer = { kind: 'dependencies', key, label: commit.slice(0, 7) }
    const make = async (dir: string) => {
      const place = join(dir, into)
      await mkdir(place, { recursive: true })
      await chown(place, appUser, appUser)
      const from = { repo, gitEnv: {}, commit, ssh }
      await extractTree(from, { into: place, scratch }, signal)
    }
    await ensureLayer(config, { layer, signal, make })
    return { commit, layer }
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}
