import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'
import { parsePublicKey } from '../../receiver/keys.ts'
import { confirmByName } from './ask.ts'
import type { Command } from './command.ts'
import { columns } from './output.ts'
import { usageFailure } from './parse.ts'
import { readStdin } from './stdin.ts'

const keyBytesMost = 16 * 1024

export const keyCommands: Command[] = [
  {
    name: 'keys:add',
    usage: 'NAME [PUBLIC-KEY ...]',
    summary: 'Let the holder of an SSH key in; without PUBLIC-KEY it is read from standard input',
    app: false,
    run: async (call, daemon) => {
      const [name, ...words] = call.args
      if (name === undefined || name === 'root' || !/^[\w.@-]{1,64}$/.test(name)) {
        throw usageFailure(
          call.command,
          'keys:add needs a name of letters, digits and ".@_-", other than root',
        )
      }
      const line = words.length > 0 ? words.join(' ') : await readStdin(call, keyBytesMost)
      const { algorithm, blob, fingerprint } = parsePublicKey(line.trim())
      const same = daemon.store.keys().find((key) => key.fingerprint === fingerprint)
      if (same?.name === name) {
        return { lines: [`       ${name} is known already`], json: { name, fingerprint } }
      }
      if (same) throw new Failure('failed', `That key is known already, as "${same.name}"`)
      if (daemon.store.keys().some((key) => key.name === name)) {
        throw new Failure('failed', `A key named "${name}" exists already`, {
          hint: `To replace it: keys:remove ${name}`,
        })
      }
      daemon.store.addKey({ name, algorithm, blob, fingerprint })
      return {
        lines: [`-----> Added ${name} (${fingerprint})`],
        json: { name, fingerprint },
        event: { kind: 'keys', text: `Added ${name} (${fingerprint})` },
      }
    },
  },
  {
    name: 'keys:list',
    usage: '',
    summary: 'List the SSH keys that are let in',
    app: false,
    run: async (_call, daemon) => {
      const keys = daemon.store.keys()
      const rows = keys.map((key) => [key.name, key.algorithm, key.fingerprint])
      return { lines: columns(rows), json: keys }
    },
  },
  {
    name: 'keys:remove',
    usage: 'NAME',
    summary: 'Take an SSH key out; what has come in by it is ended within 15 seconds',
    app: false,
    run: async (call, daemon) => {
      const [name] = call.args
      if (name === undefined) throw usageFailure(call.command, 'keys:remove needs a name')
      if (name === call.session.identity.name) {
        await confirmByName(call, name, 'You came in by this key, which would not work again')
      }
      if (!daemon.store.removeKey(name)) {
        throw new Failure('failed', `There is no key named "${printable(name)}"`)
      }
      return {
        lines: [`-----> Removed ${name}`],
        json: { removed: name },
        event: { kind: 'keys', text: `Removed ${name}` },
      }
    },
  },
]
