import { build, planOnly } from '../../builder/build.ts'
import type { ImageTools } from '../../builder/docker/build.ts'
import type { OwnName } from '../../builder/image/own-name.ts'
import { Failure } from '../../core/errors.ts'
import { paths } from '../../core/names.ts'
import type { App, CronEntry, Image, Say } from '../../core/types.ts'
import { gitEnvironment } from '../../receiver/git.ts'
import type { Daemon } from '../daemon.ts'
import type { ReleaseRow } from '../store/nouns.ts'
import type { Store } from '../store/store.ts'
import { sshCommand } from './deploy-key.ts'
import { openLayerWork } from './layer-work.ts'
import { masked } from '../mask.ts'
import { readRef } from './refs.ts'
import { parseSchedule } from '../runs/schedule.ts'

/** Builds a commit; git's quarantine environment lets it be read before the ref moves. */
export async function buildCommit(
  daemon: Daemon,
  app: App,
  source: { commit: string; gitEnv: Record<string, string>; origin?: string; noCache?: boolean },
  say: Say,
  signal: AbortSignal,
): Promise<Image> {
  const { fire, listens } = daemon.triggers
  const config = daemon.store.effectiveConfig(app)
  const sayMasked = masked(config, say)
  using slot = await daemon.buildSlots.take(say, signal)
  void slot
  await daemon.disk.requireRoom(app)
  const facts = { app: app.name, commit: source.commit }
  const extracted = async (dir: string) => {
    const about = { ...facts, args: [dir], cwd: dir }
    await fire('post-extract', about, say, signal)
    await fire('pre-build', about, say, signal)
  }
  // A plugin may change the tree, which is then no longer the commit's alone and is not shared.
  const heard = listens('post-extract') || listens('pre-build')
  const image = await build(
    {
      app: app.name,
      repo: paths(daemon.config).repo(app.name),
      ...source,
      config,
      ssh: () => sshCommand(daemon.config),
      before: daemon.store.currentRelease(app.name)?.image.layers ?? [],
      ...ownersWords(daemon, app),
      ...(heard ? { extracted } : {}),
    },
    {
      config: daemon.config,
      sandbox: daemon.sandbox,
      images: imageTools(daemon, app),
    },
    sayMasked,
    signal,
  )
  checkSchedules(image.cron ?? [])
  await fire('post-build', facts, say, signal)
  return image
}

/** The builder has read them and knows of no schedule. */
function checkSchedules(jobs: CronEntry[]): void {
  for (const [index, { schedule, timezone }] of jobs.entries()) {
    try {
      parseSchedule(schedule, timezone)
    } catch (cause) {
      if (!(cause instanceof Failure)) throw cause
      const { message, hint = '' } = cause
      throw new Failure('failed', `cron[${index}] in app.json: ${message}`, { hint, cause })
    }
  }
}

/** The plan of a branch's last pushed commit. */
export async function planCommit(
  daemon: Daemon,
  app: App,
  branch: string,
  say: Say,
  signal: AbortSignal,
): Promise<unknown> {
  const repo = paths(daemon.config).repo(app.name)
  const commit = await readRef(repo, `refs/heads/${branch}`)
  if (!commit) throw new Failure('failed', `${app.name} has no branch "${branch}" yet`)
  return planOnly(
    {
      app: app.name,
      repo,
      commit,
      gitEnv: gitEnvironment(),
      ssh: () => sshCommand(daemon.config),
      config: daemon.store.effectiveConfig(app),
      ...ownersWords(daemon, app),
    },
    { config: daemon.config, images: imageTools(daemon, app) },
    say,
    signal,
  )
}

function imageTools({ store }: Daemon, { name }: App): ImageTools {
  return {
    access: (host) => store.registry(host),
    openWork: openLayerWork,
    release: (own) => {
      if (own.app !== name) return releaseNamed(store, own)
      throw new Failure('failed', 'an app cannot stand on itself', {
        hint: 'Each deploy would lie on the one before: name an image of a registry, or another app',
      })
    },
  }
}

function releaseNamed(store: Store, { app: name, version }: OwnName): ReleaseRow {
  const app = store.findApp(name)
  if (!app)
    throw new Failure('failed', `there is no app "${name}"`, { hint: 'All apps: apps:list' })
  const live = store.releases(app).filter(({ status }) => status === 'live')
  const wanted = version ?? store.currentRelease(name)?.version
  const found = live.find((one) => one.version === wanted)
  if (found) return found
  throw new Failure(
    'failed',
    `${name} has no ${version === undefined ? 'release' : `v${version}`}`,
    {
      hint: `There is: ${live.map((one) => `v${one.version}`).join(', ') || 'none that has run'}`,
    },
  )
}

/** What the owner has set of how the app is built, whatever its code says; and what it runs now. */
function ownersWords({ store }: Daemon, app: App) {
  const { appDir, base } = store.codeSettings(app)
  const current = store.currentRelease(app.name)?.image
  return {
    ...(app.builder === null ? {} : { builder: app.builder }),
    ...(appDir === null ? {} : { appDir }),
    ...(base === null ? {} : { base }),
    current,
    buildpacks: store.buildpacks(app),
  }
}
