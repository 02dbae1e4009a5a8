import { Failure } from '../../core/errors.ts'
import { parseStorageName, parseTarget, printable } from '../../core/names.ts'
import type { App, Mount } from '../../core/types.ts'
import { applyChange, applySetting, mountsChange } from '../changes.ts'
import type { Daemon } from '../daemon.ts'
import { makeStorage, readTrash, showMount, trashStorage, untrashStorage } from '../storage.ts'
import { confirmByName } from './ask.ts'
import type { Answer, Call, Command } from './command.ts'
import { columns } from './output.ts'
import { usageFailure } from './parse.ts'

export const storageCommands: Command[] = [
  {
    name: 'storage:create',
    usage: 'STORAGE',
    summary: 'Create a storage: files that outlive releases and apps',
    app: false,
    run: async (call, daemon) => {
      const name = parseStorageName(requireName(call))
      if (daemon.store.storages().includes(name)) {
        throw new Failure('failed', `Storage "${name}" exists already`)
      }
      await makeStorage(daemon.config, name)
      daemon.store.createStorage(name)
      return done(`Created ${name}`, { name }, `To use it: storage:mount APP ${name}:/app/data`)
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
      await change(call, daemon, { cause, edit: (before) => [...before, mount] })
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
      const mount = parseMount(call)
      const same = (one: Mount) => showMount(one) === showMount(mount)
      const mounts = daemon.store.mounts(call.app())
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
      const users = usersOf(daemon, name)
      if (users.length > 0) {
        const [first] = users
        throw new Failure('failed', `${name} is mounted by ${users.join(', ')}`, {
          hint: `First: storage:unmount ${first?.split(' ')[0]} ${first?.split(' ')[1]}`,
        })
      }
      await confirmByName(call, name, `This destroys the storage ${name} with its files`)
      daemon.store.removeStorage(name)
      await trashStorage(daemon.config, name)
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
      daemon.store.createStorage(name)
      return done(`Restored ${name}`, { restored: name })
    },
  },
]

/** What was done to a storage: told to whoever asked, and kept in the host's events. */
function done(text: string, json: Record<string, string>, hint?: string): Answer {
  const lines = [`-----> ${text}`, ...(hint ? [`       ${hint}`] : [])]
  return { lines, json, event: { kind: 'storage', text } }
}

async function list(daemon: Daemon): Promise<Answer> {
  const storages = daemon.store.storages().map((name) => ({ name, users: usersOf(daemon, name) }))
  const trash = (await readTrash(daemon.config)).map(({ name, at }) => ({
    name,
    destroyedAt: new Date(at).toISOString(),
  }))
  const rows = storages.map(({ name, users }) => [name, users.join(', ') || 'not mounted'])
  const gone = trash.map(({ name, destroyedAt }) => [name, `in the trash since ${destroyedAt}`])
  return {
    lines: columns([['STORAGE', 'MOUNTED BY'], ...rows, ...gone]),
    json: { storages, trash },
  }
}

/** `shop data:/app/uploads` for each mount of a storage. */
function usersOf(daemon: Daemon, storage: string): string[] {
  return daemon.store.apps().flatMap((app) =>
    daemon.store
      .mounts(app)
      .filter((mount) => mount.storage === storage)
      .map((mount) => `${app.name} ${showMount(mount)}`),
  )
}

async function change(
  call: Call,
  daemon: Daemon,
  { cause, edit }: { cause: string; edit: (mounts: Mount[]) => Mount[] },
): Promise<void> {
  const app: App = call.app()
  const by = call.session.identity.name
  if (daemon.store.currentRelease(app.name)) {
    await applyChange(daemon, { ...mountsChange(daemon, app, edit, by), cause }, call.ask)
    return
  }
  await applySetting(daemon, app, call.ask, () => {
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
