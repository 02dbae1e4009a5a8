import { Failure } from '../../core/errors.ts'
import { paths } from '../../core/names.ts'
import type { App, Identity, Say } from '../../core/types.ts'
import { gitEnvironment } from '../../receiver/git.ts'
import { buildCommit } from './build.ts'
import { applyInTurn, current, pushChange, takeTurn } from '../changes.ts'
import type { Daemon } from '../daemon.ts'
import type { Ask } from '../queue.ts'
import { recordedBuild } from './recorded-build.ts'
import { readRef } from './refs.ts'

/** Builds the commit that runs once more and deploys that, as if it had been pushed again. */
export async function rebuild(
  daemon: Daemon,
  app: App,
  { by, noCache }: { by: Identity; noCache: boolean },
  ask: Ask,
): Promise<void> {
  const commit = await commitToBuild(daemon, app)
  const about = { commit, by: by.name, say: ask.say, signal: ask.signal }
  await recordedBuild(daemon, app, about, async ({ say, signal, begin }) => {
    using turn = await takeTurn(daemon, app, { ...ask, say, signal })
    void turn
    const wanted = await commitToBuild(daemon, app) // it may have changed while this one waited
    begin()
    say(`-----> Building ${app.name} from ${wanted.slice(0, 7)} again`)
    const source = { commit: wanted, gitEnv: gitEnvironment(), noCache }
    const build = (sayBuild: Say, buildSignal: AbortSignal) =>
      buildCommit(daemon, app, source, sayBuild, buildSignal)
    const change = pushChange(daemon, app, { commit: wanted, by: by.name, build })
    const cause = `Rebuild ${wanted.slice(0, 7)}`
    await applyInTurn(daemon, { ...change, cause }, { say, signal })
  })
}

async function commitToBuild(daemon: Daemon, app: App): Promise<string> {
  const { commit, version } = current(daemon, app)
  const repo = paths(daemon.config).repo(app.name)
  if (commit && (await readRef(repo, `${commit}^{commit}`))) return commit
  if (commit === null) {
    throw new Failure('failed', `${app.name} v${version} came as an image, not as code`, {
      hint: 'Bring the image again: git:from-image, or git:load-image',
    })
  }
  throw new Failure('failed', `The code of ${app.name} v${version} is not in its repository`, {
    hint: 'Push it again: git push paas main',
  })
}
