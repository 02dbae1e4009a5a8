import { exec } from '../../core/exec.ts'
import { gitEnvironment } from '../../receiver/git.ts'

/** The few questions we ask git ourselves. */

/** The commit a ref points at, or undefined when there is no such ref. */
export async function readRef(repo: string, ref: string): Promise<string | undefined> {
  const { stdout } = await exec(
    'git',
    ['--git-dir', repo, 'rev-parse', '--verify', '--quiet', '--end-of-options', ref],
    { env: gitEnvironment(), accept: [0, 1, 128] },
  )
  return stdout.trim() || undefined
}

/** Whether `later` builds upon `earlier`; `gitEnv` lets git see objects in quarantine. */
export async function isAncestor(
  gitEnv: Record<string, string>,
  earlier: string,
  later: string,
): Promise<boolean> {
  const { code } = await exec('git', ['merge-base', '--is-ancestor', earlier, later], {
    env: { ...gitEnvironment(), ...gitEnv },
    accept: [0, 1, 128],
  })
  return code === 0
}

export async function setRef(repo: string, ref: string, sha: string): Promise<void> {
  await exec('git', ['--git-dir', repo, 'update-ref', '--', ref, sha], { env: gitEnvironment() })
}

/** What a clone checks out. */
export async function setHead(repo: string, branch: string): Promise<void> {
  const args = ['--git-dir', repo, 'symbolic-ref', 'HEAD', `refs/heads/${branch}`]
  await exec('git', args, { env: gitEnvironment() })
}

/** Lets git pack what many pushes left, when it finds that worth it. */
export async function packObjects(repo: string): Promise<void> {
  await exec('git', ['--git-dir', repo, '-c', 'gc.autoDetach=false', 'gc', '--auto', '--quiet'], {
    env: gitEnvironment(),
    timeoutMs: packTimeoutMs,
  })
}

const packTimeoutMs = 10 * 60 * 1000
