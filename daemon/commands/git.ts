import { isPathPattern, parseFolder, pathsMost } from '../../builder/buildpack-detect/paas-toml.ts'
import { Failure } from '../../core/errors.ts'
import { parseBranch, paths, printable } from '../../core/names.ts'
import type { Daemon } from '../daemon.ts'
import { setHead } from '../code/refs.ts'
import type { Answer, Call, Command } from './command.ts'
import { importCommands } from './git-import.ts'
import { columns } from './output.ts'
import { usageFailure } from './parse.ts'

export const gitCommands: Command[] = [
  ...importCommands,
  {
    name: 'git:set',
    usage: 'APP deploy-branch BRANCH | app-dir [DIR] | paths [PATH ...]',
    summary:
      'Choose the branch that is deployed, the folder of the app, and the paths of which a push must change one',
    app: true,
    changes: true,
    run: async (call, daemon) => {
      const [setting = '', ...values] = call.args
      const set = Object.hasOwn(settings, setting) ? settings[setting] : undefined
      if (!set) {
        const known = Object.keys(settings).join(', ')
        throw usageFailure(call.command, `git:set needs one of: ${known}`)
      }
      return await set(call, daemon, values)
    },
  },
  {
    name: 'git:report',
    usage: 'APP',
    summary: 'Show what of its repository an app deploys and reads, as far as it is set',
    app: true,
    run: async (call, daemon) => {
      const app = call.app()
      const { appDir, paths: watched } = daemon.store.codeSettings(app)
      const rows = [
        ['deploy-branch:', app.deployBranch ?? '-'],
        ['app-dir:', appDir ?? 'as paas.toml says'],
        ['paths:', watched.join(' ') || 'as paas.toml says'],
      ]
      return {
        lines: columns(rows),
        json: { deployBranch: app.deployBranch, appDir, paths: watched },
      }
    },
  },
]

type Setting = (call: Call, daemon: Daemon, values: string[]) => Promise<Answer>

const settings: Record<string, Setting> = {
  'deploy-branch': async (call, daemon, [name, ...more]) => {
    if (name === undefined || more.length > 0)
      throw usageFailure(call.command, 'git:set deploy-branch wants one branch')
    const branch = parseBranch(name)
    await setHead(paths(daemon.config).repo(call.app().name), branch)
    daemon.store.setDeployBranch(call.app(), branch)
    return {
      lines: [`       Pushes of "${branch}" to ${call.app().name} are deployed`],
      json: { app: call.app().name, deployBranch: branch },
      event: { kind: 'git', text: `Set the deploy branch to ${branch}` },
    }
  },

  'app-dir': async (call, daemon, [dir, ...more]) => {
    if (more.length > 0) throw usageFailure(call.command, 'git:set app-dir wants one folder')
    const folder = dir === undefined ? null : parseFolder(dir)
    if (folder === undefined) {
      throw new Failure('usage', `"${printable(dir ?? '')}" is no folder of a repository`)
    }
    daemon.store.setAppDir(call.app(), folder)
    const text = folder === null ? 'Let paas.toml say the folder' : `Set the folder to "${folder}"`
    return {
      lines: [`       ${text}, from the next push on`],
      json: { app: call.app().name, appDir: folder },
      event: { kind: 'git', text },
    }
  },

  paths: async (call, daemon, values) => {
    const bad = values.find((value) => !isPathPattern(value))
    if (bad !== undefined || values.length > pathsMost) {
      const what = bad === undefined ? `${values.length} are too many paths` : printable(bad)
      throw new Failure('usage', `"${what}" is no path of a repository`, {
        hint: 'Use files, folders and globs, such as: web/ package-lock.json "libs/**/*.ts" "!docs/"',
      })
    }
    daemon.store.setPaths(call.app(), values)
    const shown = values.join(' ')
    const text = shown === '' ? 'Let paas.toml say the paths' : `Deploy changes of ${shown} alone`
    return {
      lines: [`       ${text}, from the next push on`],
      json: { app: call.app().name, paths: values },
      event: { kind: 'git', text },
    }
  },
}
