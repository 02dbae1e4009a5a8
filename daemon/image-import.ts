import type { Readable } from 'node:stream'
import { importArchive, short, type Taken } from '../builder/image/import.ts'
import { importFromRegistry } from '../builder/image/pull.ts'
import { type Pushed, pushImage } from '../builder/image/push.ts'
import { type Reference, referenceText } from '../builder/image/reference.ts'
import type { TakeContext } from '../builder/image/take.ts'
import { Failure } from '../core/errors.ts'
import type { App, Image, Release, Say } from '../core/types.ts'
import { applyChange, imageChange } from './changes.ts'
import type { Daemon } from './daemon.ts'
import { describeRelease } from './image-export.ts'
import { openLayerWork } from './layer-work.ts'
import type { Ask } from './queue.ts'

/** Images that were made elsewhere, as releases like any other. */

/** Deploys the image of an archive. */
export function deployArchive(
  daemon: Daemon,
  app: App,
  input: Readable,
  { by, ask }: { by: string; ask: Ask },
): Promise<Release> {
  const take = (context: TakeContext) => importArchive(daemon.config, input, context)
  return deployTaken(daemon, app, { by, ask, name: 'image', take })
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
  const take = (context: TakeContext) => importFromRegistry(daemon.config, wanted, context)
  const { host, repository, tag } = reference
  const name = referenceText({ host, repository, ...(tag && { tag }) })
  return deployTaken(daemon, app, { by, ask, name, take })
}

/** Brings a release to a registry. */
export async function pushRelease(
  daemon: Daemon,
  release: Release,
  reference: Reference,
  { say, signal }: { say: Say; signal: AbortSignal },
): Promise<Pushed> {
  const access = daemon.store.registry(reference.host)
  const late = AbortSignal.any([signal, AbortSignal.timeout(daemon.config.buildTimeoutMs)])
  await using work = openLayerWork(late)
  const push = { described: describeRelease(release), reference, access }
  return await pushImage(daemon.config, push, { work, say, signal: late })
}

type Wanted = {
  by: string
  ask: Ask
  /** What it is called in the list of releases, before its digest. */
  name: string
  take: (context: TakeContext) => Promise<Taken>
}

async function deployTaken(
  daemon: Daemon,
  app: App,
  { by, ask, name, take }: Wanted,
): Promise<Release> {
  const build = async (say: Say, signal: AbortSignal) => {
    say(`-----> Taking ${name} for ${app.name}`)
    using slot = await daemon.buildSlots.take(say, signal)
    void slot
    await daemon.disk.requireRoom(app)
    const late = AbortSignal.any([signal, AbortSignal.timeout(daemon.config.buildTimeoutMs)])
    await using work = openLayerWork(late)
    const { image, digest } = await take({ work, say, signal: late })
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
