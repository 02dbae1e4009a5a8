import { Failure } from '../../core/errors.ts'
import { parseBranch, printable } from '../../core/names.ts'
import type { App } from '../../core/types.ts'
import type { RefUpdate } from '../../receiver/receive-pack.ts'

/** Pure: what a push means. */

/** `branch` becomes the app's deploy branch; `commit` is null when there is nothing to deploy. */
export type PushDecision = {
  deploy: { branch: string; commit: string; ref: string; oldSha: string } | null
  warnings: string[]
}

const heads = 'refs/heads/'

/**
 * Chooses the update that deploys. Throws a Failure, which refuses the whole push, for refs that
 * are neither branch nor tag, for bad branch names, and for deleting the deploy branch.
 */
export function decidePush(updates: RefUpdate[], app: Pick<App, 'name' | 'deployBranch'>) {
  const branches = updates.filter(({ ref }) => ref.startsWith(heads)).map(named)
  for (const { ref } of updates) {
    if (ref.startsWith(heads) || ref.startsWith('refs/tags/')) continue
    throw new Failure('failed', `"${printable(ref)}" is neither a branch nor a tag`, {
      hint: 'Push a branch, such as: git push paas main',
    })
  }
  const deployBranch = app.deployBranch ?? firstBranch(branches)
  const deploy = branches.find(({ branch }) => branch === deployBranch) ?? null
  if (deploy && isZero(deploy.newSha)) {
    throw new Failure('failed', `"${deploy.branch}" is the deploy branch and cannot be deleted`, {
      hint: `To remove the app: apps:destroy ${app.name}`,
    })
  }
  const decision: PushDecision = {
    deploy: deploy && { ...deploy, commit: deploy.newSha },
    warnings: [
      ...branches.filter((one) => one !== deploy && !isZero(one.newSha)).map(undeployed),
      ...(branches.length === 0 ? [` !     No branch was pushed, so nothing is deployed`] : []),
    ],
  }
  return decision

  function undeployed({ branch }: { branch: string }): string {
    return deployBranch
      ? ` !     Branch "${branch}" is stored, not deployed: ${app.name} deploys "${deployBranch}". ` +
          `To deploy it: git push paas ${branch}:${deployBranch}. ` +
          `From its next commit on: git:set ${app.name} deploy-branch ${branch}`
      : ` !     Branch "${branch}" is stored, not deployed`
  }
}

function named(update: RefUpdate) {
  return { ...update, branch: parseBranch(update.ref.slice(heads.length)) }
}

function firstBranch(branches: { branch: string; newSha: string }[]): string | undefined {
  const names = branches.filter(({ newSha }) => !isZero(newSha)).map(({ branch }) => branch)
  return ['main', 'master'].find((name) => names.includes(name)) ?? names[0]
}

function isZero(sha: string): boolean {
  return /^0+$/.test(sha)
}
