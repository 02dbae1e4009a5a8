import type { Readable } from 'node:stream'
import { openArchive, short, type Source } from '../../builder/image/import.ts'
import { importFromRegistry } from '../../builder/image/pull.ts'
import { type Pushed, pushImage } from '../../builder/image/push.ts'
import { type Reference, referenceText } from '../../builder/image/reference.ts'
import type { TakeContext } from '../../builder/image/take.ts'
import { boundBuild } from '../../builder/steps/bounds.ts'
import { cancelled, Failure } from '../../core/errors.ts'
import type { App, Image, Release, Say } from '../../core/types.ts'
import { applyChange, imageChange } from '../changes.ts'
import type { Daemon } from '../daemon.ts'
import { describeRelease } from './image-export.ts'
import { openLayerWork } from './layer-work.ts'
import type { Ask } from '../queue.ts'

/** Images that were made elsewhere, as releases like any other. */

/** Deploys the image of an archive. */
export function deployArchive(
  daemon: Daemon,
  app: App,
  input: Readable,
  { by, ask }: { by: string; ask: Ask },
): Promise<Release> {
  const open = async (signal: AbortSignal, end: AsyncDisposableStack) => {
    // A client that sends nothing more would otherwise be waited for.
    signal.addEventListener('abort', () => input.destroy(cancelled(signal)), { once: true })
    return end.use(await openArchive(daemon.config, input, signal)).take
  }
  return deployTaken(daemon, app, { by, ask, name: 'image', open })
}

/** Deploys an image of a registry, by its name and best by its digest. */
export function deployReference(
  daemon: Daemon,
  app: App,
  reference: Reference,
  { by, ask }: { by: string; ask: Ask },
): Promise<Release> {
  const access = daemon.store.registry(reference.host)
  const wanted = { reference, access }
  const open = async () => (context: TakeContext) =>
    importFromRegistry(daemon.config, wanted, context)
  const { host, repository, tag } = reference
  const name = referenceText({ host, repository, ...(tag && { tag }) })
  return deployTaken(daemon, app, { by, ask, name, open })
}

/** Brings a release to a registry. */
export async function pushRelease(
  daemon: Daemon,
  release: Release,
  reference: Reference,
  { say, signal }: { say: Say; signal: AbortSignal },
): Promise<Pushed> {
  const access = daemon.store.registry(reference.host)
  using bounds = boundBuild(daemon.config, signal, 'image')
  await using work = openLayerWork(bounds.signal)
  const push = { described: describeRelease(release), reference, access }
  return await pushImage(daemon.config, push, { work, say, signal: bounds.signal })
}

type Wanted = {
  by: string
  ask: Ask
  /** What it is called in the list of releases, before its digest. */
  name: string
  /**
   * Brings what comes from a client here, which takes as long as the client does, and says how it
   * is taken; what that needs goes with `end`.
   */
  open: (signal: AbortSignal, end: AsyncDisposableStack) => Promise<Source['take']>
}

async function deployTaken(
  daemon: Daemon,
  app: App,
  { by, ask, name, open }: Wanted,
): Promise<Release> {
  const build = async (say: Say, wanted: AbortSignal) => {
    say(`-----> Taking ${name} for ${app.name}`)
    await daemon.disk.requireRoom(app)
    using bounds = boundBuild(daemon.config, wanted, 'image')
    const { signal } = bounds
    await using end = new AsyncDisposableStack()
    const take = await open(signal, end)
    using slot = await daemon.buildSlots.take(say, signal)
    void slot
    const work = end.use(openLayerWork(signal))
    const { image, digest } = await take({ work, say, signal })
    refuseRoot(daemon, image)
    return { image, cause: `Deploy ${name} ${short(digest)}` }
  }
  return applyChange(daemon, imageChange(daemon, app, { by, build }), ask)
}

/** Root of a container is nobody on the host: but only where it has user ids of its own. */
function refuseRoot({ host }: Daemon, { user }: Image): void {
  if (user?.uid !== 0 || host.noUserNamespace === undefined) return
  throw new Failure('failed', 'The image runs as root, and this server has no user namespaces', {
    hint: 'Give the image a USER; "doctor" says what the server lacks',
  })
}
