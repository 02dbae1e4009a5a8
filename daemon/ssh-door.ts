import { Failure, failureLines, statusOf } from '../core/errors.ts'
import { log, logError } from '../core/log.ts'
import { paths } from '../core/names.ts'
import type { Identity, Say } from '../core/types.ts'
import { hostKeys } from '../receiver/host-keys.ts'
import { type PushRequest, receivePack, uploadPack } from '../receiver/receive-pack.ts'
import { ensureRepo } from '../receiver/repo.ts'
import { listenSsh, type SshServer } from '../receiver/server.ts'
import type { Session } from '../receiver/session.ts'
import { dispatch, findApp } from './commands/dispatch.ts'
import type { Daemon } from './daemon.ts'
import { acceptPush } from './receive.ts'

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
      command: (session) => dispatch({ ...session, tty: session.tty !== null, turn: null }, daemon),
      receivePack: (session, app) => push(daemon, session, app),
      uploadPack: (session, app) =>
        uploadPack({ ...session, repo: paths(config).repo(findApp(app, daemon).name) }),
    },
  )
}

async function push(daemon: Daemon, session: Session, app: string): Promise<number> {
  const repo = paths(daemon.config).repo(app)
  await ensureRepo(repo) // the app itself begins with the first push that brings something
  return receivePack({
    ...session,
    repo,
    onPush: (request, say, signal) => answer(daemon, app, session.identity, request, say, signal),
  })
}

async function answer(
  daemon: Daemon,
  app: string,
  by: Identity,
  request: PushRequest,
  say: Say,
  signal: AbortSignal,
): Promise<number> {
  try {
    await acceptPush(daemon, app, by, request, say, signal)
    return 0
  } catch (error) {
    if (!(error instanceof Failure)) logError('push-failed', error, { app })
    else log('push-refused', { app, by: by.name, why: error.message })
    for (const line of failureLines(error)) say(line)
    return statusOf(error)
  }
}
