import { Failure } from '../../core/errors.ts'
import { paths, printable } from '../../core/names.ts'
import type { App, Identity, Say } from '../../core/types.ts'
import type { PushRequest } from '../../receiver/receive-pack.ts'
import { untouchedPaths } from '../../builder/source/untouched.ts'
import { createApp, recordCreated } from '../apps/apps.ts'
import { missingApp } from '../apps/find-app.ts'
import { buildCommit } from './build.ts'
import { applyInTurn, pushChange } from '../changes.ts'
import type { Daemon } from '../daemon.ts'
import { goneMeanwhile } from '../queue.ts'
import { refuseLocked } from '../apps/locks.ts'
import { decidePush, type PushDecision } from './push.ts'
import { recordedBuild } from './recorded-build.ts'
import { isAncestor, readRef, setHead, setRef } from './refs.ts'

export type Accepting = {
  by: Identity
  say: Say
  signal: AbortSignal
  /** The app in whose change a plugin asks for this. */
  inside?: string | null
  /** Where the commit was fetched from, if it did not come by a push of its own. */
  origin?: string
  /** Holds the app's turn until git has moved the ref, so that the next push sees it moved. */
  held: DisposableStack
}

/**
 * What happens between git's quarantine and the moving of the ref. Returns when git may move it;
 * whatever is thrown refuses the push and leaves ref and app as they were.
 */
export async function acceptPush(
  daemon: Daemon,
  name: string,
  push: PushRequest,
  accepting: Accepting,
): Promise<void> {
  const { by, say } = accepting
  refuseLocked(daemon.store, name)
  const known = daemon.store.findApp(name)
  if (!known && !daemon.store.autocreate()) {
    throw missingApp(name, daemon, `Pushes create none here. To do it: apps:create ${name}`)
  }
  const decision = decidePush(push.updates, known ?? { name, deployBranch: null })
  for (const warning of decision.warnings) say(warning)
  if (!decision.deploy) {
    if (known) return
    throw new Failure('no-such-app', `App "${name}" does not exist`, {
      hint: 'The first push of a branch creates it: git push paas main',
    })
  }
  const app = known ?? (await createFor(daemon, name, accepting))
  const target = decision.deploy
  const { branch, commit } = target
  const about = { app: name, args: [branch, commit], commit }
  await daemon.triggers.fire('receive-branch', about, say, accepting.signal)

  const { held, inside = null, origin, signal: asked } = accepting
  const building = { commit, by: by.name, say, signal: asked }
  await recordedBuild(daemon, app, building, async ({ say: record, signal, begin }) => {
    const ask = { kind: 'push', say: record, signal, inside } as const
    held.use(await daemon.queue.turn(name, ask))
    if (daemon.store.findApp(name)?.id !== app.id) throw goneMeanwhile(app.name)
    if (!stillDeploys(daemon, name, push, branch)) {
      const why = `Another branch of ${name} is deployed by now`
      say(` !     ${why}; "${branch}" is stored, not deployed`)
      return { cancelled: why }
    }
    begin()
    return deployCommit(daemon, app, { push, target, by, origin }, ask)
  })
}

/** Two first pushes of different branches may have waited for each other. */
function stillDeploys(daemon: Daemon, name: string, push: PushRequest, branch: string): boolean {
  const app = daemon.store.findApp(name)
  return app !== undefined && decidePush(push.updates, app).deploy?.branch === branch
}

type Target = NonNullable<PushDecision['deploy']>

async function deployCommit(
  daemon: Daemon,
  app: App,
  pushed: { push: PushRequest; target: Target; by: Identity; origin: string | undefined },
  ask: { say: Say; signal: AbortSignal },
): Promise<void | { cancelled: string }> {
  const { push, target, by, origin } = pushed
  const { branch, commit } = target
  const repo = paths(daemon.config).repo(app.name)
  const moved = await movedMeanwhile(repo, push, target)
  const skipped = await whyUntouched(daemon, app, { commit, gitEnv: push.gitEnv }, ask.signal)
  if (skipped !== undefined) {
    ask.say(`-----> ${skipped}: not deployed`)
    ask.say(`       What counts: git:set ${app.name} paths, or paths in paas.toml`)
    if (moved) await setRef(repo, target.ref, target.oldSha)
    return { cancelled: skipped }
  }
  ask.say(`-----> Building ${app.name} from ${commit.slice(0, 7)} (${branch})`)
  const source = { commit, gitEnv: push.gitEnv, ...(origin !== undefined && { origin }) }
  const build = (say: Say, signal: AbortSignal) => buildCommit(daemon, app, source, say, signal)
  await applyInTurn(daemon, pushChange(daemon, app, { commit, by: by.name, build }), ask)
  if (!app.deployBranch) {
    daemon.store.setDeployBranch(app, branch)
    await setHead(repo, branch)
  }
  // git will compare with what the client saw when it connected. Whoever has the turn may lead the
  // branch back there for the moment until git moves it on: the pushed commit holds both.
  if (moved) await setRef(repo, target.ref, target.oldSha)
}

/**
 * Said of a push that changes nothing of what the app reads, where somebody has said what it is.
 */
export async function whyUntouched(
  daemon: Daemon,
  app: App,
  pushed: { commit: string; gitEnv: Record<string, string> },
  signal: AbortSignal,
): Promise<string | undefined> {
  const release = daemon.store.currentRelease(app.name)
  if (!release?.commit) return undefined
  const { appDir, paths: watched } = daemon.store.codeSettings(app)
  const reads = { paths: watched, ...(appDir === null ? {} : { appDir }) }
  const commit = { repo: paths(daemon.config).repo(app.name), ...pushed }
  const untouched = await untouchedPaths(commit, release.commit, reads, signal)
  if (!untouched) return undefined
  const what = printable(untouched.join(' '))
  return `Nothing that ${app.name} reads (${what}) has changed since v${release.version}`
}

async function createFor(daemon: Daemon, name: string, { say, by }: Accepting): Promise<App> {
  say(`-----> Creating ${name}`)
  const app = await createApp(daemon, name, say)
  recordCreated(daemon, app, by.name, 'A first push created')
  return app
}

/**
 * Whether an earlier push moved the branch while this one waited. That is fine when this one builds
 * upon it; otherwise the later would silently lose the earlier, and is refused.
 */
async function movedMeanwhile(repo: string, push: PushRequest, target: Target): Promise<boolean> {
  const now = (await readRef(repo, target.ref)) ?? ''
  if (now === target.oldSha.replace(/^0+$/, '')) return false
  if (now !== '' && (await isAncestor(push.gitEnv, now, target.commit))) return true
  throw new Failure('failed', `${target.ref} was moved by another push meanwhile`, {
    hint: 'Fetch, merge and push again',
  })
}
