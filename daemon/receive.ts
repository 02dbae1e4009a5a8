import { Failure } from '../core/errors.ts'
import { paths } from '../core/names.ts'
import type { App, Identity, Say } from '../core/types.ts'
import type { PushRequest } from '../receiver/receive-pack.ts'
import { createApp } from './apps.ts'
import { buildCommit, readRef } from './build.ts'
import { applyChange, pushChange } from './changes.ts'
import type { Daemon } from './daemon.ts'
import { appUrls } from './hosts.ts'
import { decidePush } from './push.ts'
import type { Build } from './store/store.ts'

/**
 * What happens between git's quarantine and the moving of the ref. Returns when git may move it;
 * whatever is thrown refuses the push and leaves ref and app as they were.
 */
export async function acceptPush(
  daemon: Daemon,
  name: string,
  by: Identity,
  push: PushRequest,
  say: Say,
  signal: AbortSignal,
): Promise<void> {
  const known = daemon.store.findApp(name)
  const decision = decidePush(push.updates, known ?? { name, deployBranch: null })
  for (const warning of decision.warnings) say(warning)
  if (!decision.deploy) return
  const app = known ?? (await createFor(daemon, name, say))
  const { branch, commit } = decision.deploy
  await daemon.triggers.fire(
    'receive-branch',
    { app: name, args: [branch, commit], commit },
    say,
    signal,
  )

  const build = daemon.store.createBuild(app, commit, by.name)
  const record = recorder(daemon, app, build, say)
  try {
    await applyChange(
      daemon,
      pushChange(daemon, app, {
        commit,
        by: by.name,
        build: async (tell, stop) => {
          daemon.store.setBuild(build, 'running')
          await refuseMovedRef(daemon, app, decision.deploy)
          tell(`-----> Building ${name} from ${commit.slice(0, 7)} (${branch})`)
          return buildCommit(daemon, app, { commit, gitEnv: push.gitEnv }, tell, stop)
        },
      }),
      { kind: 'push', say: record, signal },
    )
    daemon.store.setBuild(build, 'succeeded')
  } catch (error) {
    const message = error instanceof Failure ? error.message : 'Internal error'
    daemon.store.setBuild(build, signal.aborted ? 'cancelled' : 'failed', message)
    record(` !     Not deployed: ${message}`, 'log only')
    throw error
  }
  if (!app.deployBranch) daemon.store.setDeployBranch(app, branch)
  record('=====> Application deployed:')
  for (const url of appUrls(daemon.config, daemon.store, app)) record(`       ${url}`)
}

async function createFor(daemon: Daemon, name: string, say: Say): Promise<App> {
  say(`-----> Creating ${name}`)
  return createApp(daemon, name, say)
}

/** Two pushes may have been made from the same old commit; the later one would lose the earlier. */
async function refuseMovedRef(
  daemon: Daemon,
  app: App,
  deploy: { ref: string; oldSha: string } | null,
): Promise<void> {
  if (!deploy) return
  const now = (await readRef(paths(daemon.config).repo(app.name), deploy.ref)) ?? ''
  if (now === deploy.oldSha.replace(/^0+$/, '')) return
  throw new Failure('failed', `${deploy.ref} was moved by another push meanwhile`, {
    hint: 'Fetch, merge and push again',
  })
}

/** Says a line to the pusher and keeps it in the app's log as `build.N`. */
function recorder(daemon: Daemon, app: App, build: Build, say: Say) {
  const source = { process: `build.${build.number}`, release: 0 }
  return (line: string, only?: 'log only'): void => {
    daemon.journal.write(app.name, source, line)
    if (!only) say(line)
  }
}
