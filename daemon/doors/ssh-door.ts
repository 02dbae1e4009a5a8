import { rm } from 'node:fs/promises'
import { Failure, failureLines, statusOf } from '../../core/errors.ts'
import { log, logError } from '../../core/log.ts'
import { paths } from '../../core/names.ts'
import type { Say } from '../../core/types.ts'
import { hostKeys } from '../../receiver/host-keys.ts'
import { type PushRequest, receivePack, uploadPack } from '../../receiver/receive-pack.ts'
import { ensureRepo } from '../../receiver/repo.ts'
import { listenSsh, type SshServer } from '../../receiver/server.ts'
import type { Session } from '../../receiver/session.ts'
import { authorize, dispatch } from '../commands/dispatch.ts'
import { findApp } from '../apps/find-app.ts'
import type { Daemon } from '../daemon.ts'
import { type Accepting, acceptPush } from '../code/receive.ts'
import { refuseNameInUse } from '../apps/rename-files.ts'

/** `git push` and commands over SSH: who may come in, and what each request leads to. */
export async function openSshDoor(daemon: Daemon): Promise<SshServer> {
  const { config, store } = daemon
  return listenSsh(
    { port: config.sshPort, hostKeys: await hostKeys(paths(config).hostKeys) },
    {
      authorize({ algorithm, blob }) {
        const key = store.findKey(algorithm, blob)
        return key ? { name: key.name } : null
      },
      command: (session) => dispatch({ ...session, turn: null }, daemon),
      async receivePack(session, app) {
        await authorize({ ...session, argv: ['git-receive-pack', app] }, daemon)
        return push(daemon, session, app)
      },
      async uploadPack(session, app) {
        await authorize({ ...session, argv: ['git-upload-pack', app] }, daemon)
        return uploadPack({ ...session, repo: paths(config).repo(findApp(app, daemon).name) })
      },
    },
  )
}

async function push(daemon: Daemon, session: Session, app: string): Promise<number> {
  const repo = paths(daemon.config).repo(app)
  await refuseNameInUse(daemon, app)
  await ensureRepo(repo) // the app itself begins with the first push that brings something
  await using end = new AsyncDisposableStack()
  pushing.set(app, (pushing.get(app) ?? 0) + 1)
  end.defer(() => leave(daemon, app))
  using held = new DisposableStack()
  const { identity: by } = session
  const onPush = (request: PushRequest, say: Say, signal: AbortSignal) =>
    answer(daemon, app, request, {
      ...{ by, say, held },
      signal: AbortSignal.any([signal, daemon.farewell.signal]),
    })
  return await receivePack({ ...session, repo, onPush })
}

/** Pushes under way, by app. */
const pushing = new Map<string, number>()

/** A push that made no app leaves no repository either. */
async function leave(daemon: Daemon, app: string): Promise<void> {
  const left = (pushing.get(app) ?? 1) - 1
  if (left > 0) return void pushing.set(app, left)
  pushing.delete(app)
  const repo = paths(daemon.config).repo(app)
  if (daemon.renames.has(app)) return // what lies there is of the app that gets the name
  if (!daemon.store.findApp(app)) await rm(repo, { recursive: true, force: true })
}

async function answer(
  daemon: Daemon,
  app: string,
  request: PushRequest,
  accepting: Accepting,
): Promise<number> {
  try {
    await acceptPush(daemon, app, request, accepting)
    return 0
  } catch (error) {
    if (!(error instanceof Failure)) logError('push-failed', error, { app })
    else log('push-refused', { app, by: accepting.by.name, why: error.message })
    for (const line of failureLines(error)) accepting.say(line)
    return statusOf(error)
  }
}
