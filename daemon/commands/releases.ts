import { hasLayer } from '../../builder/layers/layers.ts'
import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'
import type { App, Release } from '../../core/types.ts'
import { applyChange, rollbackChange } from '../changes.ts'
import type { Daemon } from '../daemon.ts'
import { showMount } from '../disk/storage.ts'
import type { ReleaseRow } from '../store/nouns.ts'
import type { Command } from './command.ts'
import { columns } from './output.ts'

export const releaseCommands: Command[] = [
  {
    name: 'releases',
    usage: 'APP',
    summary: 'List the releases that can be rolled back to, newest first',
    app: true,
    run: async (call, daemon) => {
      const current = daemon.store.currentRelease(call.app().name)
      const facts = daemon.store.releases(call.app()).map((release) => ({
        release: `v${release.version}`,
        status: release.id === current?.id ? 'current' : release.status,
        cause: release.cause,
        commit: release.commit,
        by: release.by,
        createdAt: release.createdAt,
      }))
      const rows = facts.map(({ release, status, cause, by, createdAt }) => [
        release,
        status,
        cause,
        by,
        createdAt,
      ])
      return { lines: columns([['RELEASE', 'STATUS', 'CAUSE', 'BY', 'AT'], ...rows]), json: facts }
    },
  },
  {
    name: 'releases:info',
    usage: 'APP [vN]',
    summary: 'Show what a release is made of, the current one unless vN is given',
    app: true,
    run: async (call, daemon) => {
      const facts = describe(daemon, call.app(), findRelease(daemon, call.app(), call.args[0]))
      const rows = Object.entries(facts).map(([key, value]) => [`${key}:`, show(value)])
      return { lines: columns(rows), json: facts }
    },
  },
  {
    name: 'releases:rollback',
    usage: 'APP [vN]',
    summary: 'Go back to the release before, or to vN: code, config and formation together',
    app: true,
    run: async (call, daemon) => {
      const app = call.app()
      const to = findTarget(daemon, app, call.args[0])
      const change = rollbackChange(daemon, app, to, call.session.identity.name)
      const release = await applyChange(daemon, change, call.ask)
      return {
        lines: [`-----> ${app.name} runs v${release.version}, a copy of v${to.version}`],
        json: { app: app.name, release: `v${release.version}`, from: `v${to.version}` },
      }
    },
  },
]

/** Of config only the keys: values are for `config:get`. */
function describe(daemon: Daemon, app: App, release: ReleaseRow) {
  const { image, config, globals = {} } = release
  const isCurrent = release.id === daemon.store.currentRelease(app.name)?.id
  return {
    release: `v${release.version}`,
    status: isCurrent ? 'current' : release.status,
    ...(release.error === null ? {} : { error: release.error }),
    cause: release.cause,
    by: release.by,
    createdAt: release.createdAt,
    commit: release.commit,
    language: image.language,
    ...(image.base && { base: `${image.base.name}@${image.base.digest}` }),
    layers: image.layers.map(({ kind, label, key }) => ({ kind, label, key })),
    processes: image.processes,
    configKeys: Object.keys(config).sort(),
    globalConfigKeys: Object.keys(globals)
      .filter((key) => !(key in config))
      .sort(),
    formation: release.formation,
    limits: release.limits,
    mounts: release.mounts.map(showMount),
  }
}

function show(value: unknown): string {
  if (value === null) return '-'
  if (Array.isArray(value)) return value.map(showOne).join(', ') || '-'
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

function showOne(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value)
  return 'label' in value ? String(value.label) : JSON.stringify(value)
}

export function findRelease(daemon: Daemon, app: App, wanted: string | undefined): ReleaseRow {
  const all = daemon.store.releases(app)
  const [, number] = /^v?(\d{1,9})$/.exec(wanted ?? '') ?? []
  const found =
    wanted === undefined
      ? daemon.store.currentRelease(app.name)
      : all.find(({ version }) => version === Number(number))
  if (found) return found
  const what = wanted === undefined ? 'release yet' : `release "${printable(wanted)}"`
  throw new Failure('failed', `${app.name} has no ${what}`, {
    hint:
      all.length > 0
        ? `There is: ${all.map(({ version }) => `v${version}`).join(', ')}`
        : 'Push code first: git push paas main',
  })
}

/** The same, for whoever reads its files. */
export function findWithFiles(daemon: Daemon, app: App, wanted: string | undefined): ReleaseRow {
  const release = findRelease(daemon, app, wanted)
  if (release.image.layers.every((layer) => hasLayer(daemon.config, layer))) return release
  const served = release.status === 'failed' ? ', which never served,' : ''
  throw new Failure('failed', `The files of v${release.version}${served} are not kept`, {
    hint: 'Push its commit again, or name a release that has served',
  })
}

function findTarget(daemon: Daemon, app: App, wanted: string | undefined): Release {
  const current = daemon.store.currentRelease(app.name)
  const good = daemon.store.releases(app).filter(({ status }) => status === 'live')
  const earlier = good.filter(({ id }) => id !== current?.id)
  const hint = earlier.length
    ? `There is: ${earlier.map(({ version }) => `v${version}`).join(', ')}`
    : 'It has had no other release'
  if (wanted === undefined) {
    const before = good.find(({ version }) => version < (current?.version ?? 0))
    if (before) return before
    throw new Failure('failed', `${app.name} has no release to go back to`, { hint })
  }
  const [, number] = /^v?(\d{1,9})$/.exec(wanted) ?? []
  const found = good.find(({ version }) => version === Number(number))
  if (found) return found
  throw new Failure('failed', `${app.name} has no good release "${printable(wanted)}"`, { hint })
}
