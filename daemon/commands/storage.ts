import { Failure } from '../../core/errors.ts'
import { parseSize, showSize } from '../../core/measures.ts'
import { parseStorageName, parseTarget, printable } from '../../core/names.ts'
import type { App, Mount } from '../../core/types.ts'
import { applyOrSet, mountsChange } from '../changes.ts'
import type { Daemon } from '../daemon.ts'
import {
  limitStorage,
  makeStorage,
  readTrash,
  showMount,
  storageUse,
  trashStorage,
  untrashStorage,
} from '../disk/storage.ts'
import { confirmByName } from './ask.ts'
import type { Answer, Call, Command } from './command.ts'
import { columns } from './output.ts'
import { usageFailure } from './parse.ts'

const sizeLeast = 1024 ** 2
const sizeMost = 1024 ** 5

export const storageCommands: Command[] = [
  {
    name: 'storage:create',
    usage: 'STORAGE [--size SIZE]',
    summary: 'Create a storage: files that outlive releases and apps',
    app: false,
    options: {
      size: { type: 'string', value: 'SIZE', help: 'The most it may hold, such as 500m or 5g' },
    },
    run: async (call, daemon) => {
      const name = parseStorageName(requireName(call))
      const size = parseWanted(call)
      if (daemon.store.storages().includes(name)) {
        throw new Failure('failed', `Storage "${name}" exists already`)
      }
      await makeStorage(daemon, name, size)
      daemon.store.createStorage(name, size)
      warnUnlimited(call, daemon, size)
      const hint = `To use it: storage:mount APP ${name}:/app/data`
      return done(`Created ${name}${upTo(size)}`, { name, sizeBytes: size }, hint)
    },
  },
  {
    name: 'storage:resize',
    usage: 'STORAGE --size SIZE',
    summary: 'Change how much a storage may hold, at once; what it holds stays',
    app: false,
    options: {
      size: { type: 'string', value: 'SIZE', help: 'Such as 500m or 5g, or none for no limit' },
    },
    run: async (call, daemon) => {
      const name = requireStorage(daemon, requireName(call))
      if (call.options.size === undefined) {
        throw usageFailure(call.command, 'storage:resize needs a --size')
      }
      const size = parseWanted(call)
      await limitStorage(daemon, name, size)
      daemon.store.resizeStorage(name, size)
      warnUnlimited(call, daemon, size)
      return done(`Resized ${name}${upTo(size) || ', no limit'}`, { name, sizeBytes: size })
    },
  },
  {
    name: 'storage:list',
    usage: '',
    summary: 'List the storages, who has them mounted, and what lies in the trash',
    app: false,
    run: async (_call, daemon) => list(daemon),
  },
  {
    name: 'storage:mount',
    usage: 'APP STORAGE:/PATH',
    summary: 'Show a storage to every process of an app at a path, and restart with it',
    app: true,
    run: async (call, daemon) => {
      const mount = parseMount(call)
      requireStorage(daemon, mount.storage)
      const mounts = daemon.store.mounts(call.app())
      const taken = mounts.find(({ target }) => target === mount.target)
      if (taken) {
        throw new Failure('failed', `${showMount(taken)} is mounted at ${mount.target} already`)
      }
      const cause = `Mount ${showMount(mount)}`
      await change(call, daemon, {
        cause,
        edit(before) {
          requireStorage(daemon, mount.storage) // it may have gone while the app's turn was awaited
          return [...before, mount]
        },
      })
      return {
        lines: [`-----> ${call.app().name} has ${showMount(mount)}`],
        json: { app: call.app().name, mounted: mount },
      }
    },
  },
  {
    name: 'storage:unmount',
    usage: 'APP STORAGE:/PATH',
    summary: 'Take a storage from an app, and restart without it; its files stay',
    app: true,
    run: async (call, daemon) => {
      const mounts = daemon.store.mounts(call.app())
      // One that is there goes, wherever it is: more places may have been free once.
      const mount = mounts.find((one) => showMount(one) === call.args[0]) ?? parseMount(call)
      const same = (one: Mount) => showMount(one) === showMount(mount)
      if (!mounts.some(same)) {
        const has = mounts.map(showMount).join(', ') || 'nothing'
        throw new Failure('failed', `${call.app().name} has no ${showMount(mount)} mounted`, {
          hint: `It has: ${has}`,
        })
      }
      const cause = `Unmount ${showMount(mount)}`
      await change(call, daemon, { cause, edit: (before) => before.filter((one) => !same(one)) })
      return {
        lines: [`-----> ${call.app().name} no longer has ${showMount(mount)}`],
        json: { app: call.app().name, unmounted: mount },
      }
    },
  },
  {
    name: 'storage:destroy',
    usage: 'STORAGE',
    summary: 'Put a storage into the trash; after 7 days its files are gone',
    app: false,
    run: async (call, daemon) => {
      const name = requireStorage(daemon, requireName(call))
      refuseInUse(daemon, name)
      await confirmByName(call, name, `This destroys the storage ${name} with its files`)
      refuseInUse(daemon, requireStorage(daemon, name)) // a person may take a minute to answer
      daemon.store.removeStorage(name)
      trashStorage(daemon.config, name)
      return done(`Destroyed ${name}`, { destroyed: name }, `For 7 days: storage:restore ${name}`)
    },
  },
  {
    name: 'storage:restore',
    usage: 'STORAGE',
    summary: 'Take a destroyed storage out of the trash again',
    app: false,
    run: async (call, daemon) => {
      const name = parseStorageName(requireName(call))
      if (daemon.store.storages().includes(name)) {
        throw new Failure('failed', `Storage "${name}" exists already`)
      }
      await untrashStorage(daemon.config, name)
      daemon.store.createStorage(name, storageUse(daemon, name)?.limitBytes || null)
      return done(`Restored ${name}`, { restored: name })
    },
  },
]

/** What was done to a storage: told to whoever asked, and kept in the host's events. */
function done(text: string, json: Record<string, string | number | null>, hint?: string): Answer {
  const lines = [`-----> ${text}`, ...(hint ? [`       ${hint}`] : [])]
  return { lines, json, event: { kind: 'storage', text } }
}

/** Bytes of `--size`, null for `none` or where it is not given. */
function parseWanted(call: Call): number | null {
  const { size } = call.options
  if (size === undefined || size === 'none') return null
  const bytes = parseSize(String(size)) ?? NaN
  if (bytes >= sizeLeast && bytes <= sizeMost) return bytes
  throw usageFailure(call.command, '--size wants a size like 500m or 5g, from 1m on')
}

function warnUnlimited(call: Call, { host }: Daemon, size: number | null): void {
  if (size === null || host.noQuota === undefined) return
  call.say(` !     The size is noted and not enforced: ${host.noQuota} (see doctor)`)
}

function upTo(size: number | null): string {
  return size === null ? '' : `, at most ${showSize(size)}`
}

async function list(daemon: Daemon): Promise<Answer> {
  const sizes = daemon.store.storageSizes()
  const measured = new Map(
    (await daemon.disk.report()).storages.map(({ storage, bytes }) => [storage, bytes]),
  )
  const storages = daemon.store.storages().map((name) => ({
    name,
    users: usersOf(daemon, name),
    usedBytes: storageUse(daemon, name)?.usedBytes ?? measured.get(name) ?? 0,
    sizeBytes: sizes.get(name) ?? null,
    enforced: sizes.has(name) && daemon.host.noQuota === undefined,
  }))
  const trash = (await readTrash(daemon.config)).map(({ name, at }) => ({
    name,
    destroyedAt: new Date(at).toISOString(),
  }))
  const rows = storages.map(({ name, users, ...space }) => [
    name,
    users.join(', ') || 'not mounted',
    showSpace(space),
  ])
  const gone = trash.map(({ name, destroyedAt }) => [name, `in the trash since ${destroyedAt}`])
  return {
    lines: columns([['STORAGE', 'MOUNTED BY', 'USED'], ...rows, ...gone]),
    json: { storages, trash },
  }
}

/** `1.2 GiB of 5 GiB` */
function showSpace(space: { usedBytes: number; sizeBytes: number | null; enforced: boolean }) {
  const { usedBytes, sizeBytes, enforced } = space
  if (sizeBytes === null) return showSize(usedBytes)
  const of = `${showSize(usedBytes)} of ${showSize(sizeBytes)}`
  return enforced ? of : `${of}, not enforced`
}

/** `shop data:/app/uploads` for each mount of a storage, now or in a moment. */
function usersOf({ store, fleet, runs }: Daemon, storage: string): string[] {
  const staying = fleet.all().filter(({ state }) => state !== 'retiring')
  const running = [...staying, ...runs.all()].map(({ app, release }) => `${app} v${release}`)
  return store
    .storageUsers(storage, running)
    .map(({ app, target }) => `${app} ${showMount({ storage, target })}`)
}

function refuseInUse(daemon: Daemon, storage: string): void {
  const users = usersOf(daemon, storage)
  const [first] = users
  if (first === undefined) return
  const [name = '', shown = ''] = first.split(' ')
  const app = daemon.store.findApp(name)
  const stays = app && daemon.store.mounts(app).some((mount) => showMount(mount) === shown)
  throw new Failure('failed', `${storage} is mounted by ${users.join(', ')}`, {
    hint: stays
      ? `First: storage:unmount ${name} ${shown}`
      : `By what starts or runs at this moment: ps ${name}`,
  })
}

async function change(
  call: Call,
  daemon: Daemon,
  { cause, edit }: { cause: string; edit: (mounts: Mount[]) => Mount[] },
): Promise<void> {
  const app: App = call.app()
  const by = call.session.identity.name
  const mounting = { ...mountsChange(daemon, app, edit, by), cause }
  await applyOrSet(daemon, mounting, call.ask, () => {
    daemon.store.setMounts(app, edit(daemon.store.mounts(app)))
    daemon.store.addEvent(app, { kind: 'storage', by, release: null, text: cause })
  })
}

function requireName(call: Call): string {
  const [name] = call.args
  if (name === undefined) throw usageFailure(call.command, `${call.command.name} needs a name`)
  return name
}

function requireStorage(daemon: Daemon, name: string): string {
  if (daemon.store.storages().includes(name)) return name
  const all = daemon.store.storages().join(', ') || 'none yet'
  throw new Failure('failed', `There is no storage "${printable(name)}"`, {
    hint: `There is: ${all}. To make it: storage:create ${printable(name)}`,
  })
}

function parseMount(call: Call): Mount {
  const [text = ''] = call.args
  const at = text.indexOf(':')
  if (at === -1) throw usageFailure(call.command, `"${printable(text)}" is not STORAGE:/PATH`)
  return {
    storage: parseStorageName(text.slice(0, at)),
    target: parseTarget(text.slice(at + 1)),
  }
}
