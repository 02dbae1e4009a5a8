import type { Source } from '../source/source.ts'
import { type Framework, frameworks } from './node-frameworks.ts'
import type { NodeProject } from './node-project.ts'
import { hasBuild } from './node-steps.ts'
import type { PackageJson } from './package-json.ts'
import type { Site } from './served-files.ts'

/** What answers requests: a command, or files that a web server serves. */
export type NodeWeb = {
  framework: Framework | undefined
  web: { command: string; from: string } | undefined
  site: Site | undefined
  warnings: string[]
}

/**
 * The start script; where it is for development or not there, what the framework's build makes; a
 * file that is known to be a server.
 */
export function findWeb(project: NodeProject): NodeWeb {
  const { source, packageJson, manager } = project
  const { scripts } = packageJson
  const framework = frameworks.find(({ by }) => by.some((name) => isAsked(packageJson, name)))
  const build = project.buildCommand ?? scripts['heroku-postbuild'] ?? scripts.build ?? ''
  const seen = { source, packageJson, build: resolved(build, scripts) }
  const start = scripts.start?.trim()
  const isDev = Boolean(start && framework?.dev?.test(resolved(start, scripts)))
  const none = { framework, web: undefined, site: undefined, warnings: [] }
  if (start && !isDev) {
    const web = { command: startCommand(project, start), from: 'scripts.start in package.json' }
    return { ...none, web, warnings: devStart(packageJson, start) }
  }
  const instead = (what: string) => {
    return isDev ? [`scripts.start in package.json is for development: ${what}`] : []
  }
  // Whoever writes one and no start script means it, whatever builds the pages.
  const own = !start && manager.name !== 'bun' && source.isFile('server.js')
  const built = framework && hasBuild(project) && !own ? framework : undefined
  const site = built?.site?.(seen)
  if (site) {
    return { ...none, site, warnings: instead(`the files of its build are served instead`) }
  }
  const command = built?.start?.(seen)
  if (built && command) {
    const web = { command: byYarn(project, command), from: built.name }
    return { ...none, web, warnings: instead(`"${command}" is started instead`) }
  }
  const file =
    manager.name === 'bun' ? bunFile(source, packageJson) : serverFile(source, packageJson)
  return { ...none, web: file && { ...file, command: byYarn(project, file.command) } }
}

/** What to do when nothing says how to start. */
export function howToStart(project: NodeProject, { framework }: NodeWeb): string {
  if (framework && !hasBuild(project)) {
    return `${framework.name}: add a "build" script to package.json; what it makes is served`
  }
  if (framework?.needs) return `${framework.name}: ${framework.needs}`
  const runtime = project.manager.name === 'bun' ? 'bun server.ts' : 'node server.js'
  return `Add a "start" script to package.json, or a Procfile with: web: ${runtime}`
}

function isAsked({ dependencies, devDependencies }: PackageJson, name: string): boolean {
  return name in dependencies || name in devDependencies
}

/** `npm run dev` is what the script `dev` is. */
function resolved(command: string, scripts: Record<string, string>): string {
  const name = /^(?:npm run|pnpm(?: run)?|yarn(?: run)?|bun run) ([\w:.-]+)$/.exec(command)?.[1]
  return (name && scripts[name]?.trim()) || command
}

/**
 * The script itself where it is one plain command: the same as `npm start` without an npm that
 * stays in memory and costs a third of a second at every start.
 */
function startCommand({ manager, packageJson: { scripts } }: NodeProject, start: string): string {
  const around = 'prestart' in scripts || 'poststart' in scripts
  if (!around && !manager.pnp && isPlainCommand(start)) return start
  return manager.name === 'bun' ? 'bun run start' : `${manager.name} start`
}

/** Whether `exec` may stand before it, and nothing in it asks npm for what npm would have set. */
function isPlainCommand(command: string): boolean {
  if (/[;&|<>()`\n\\]|\$\(|npm_/.test(command)) return false
  return (
    /^[a-zA-Z0-9_./@-]+(\s|$)/.test(command) &&
    !/^(cd|exec|set|export|source|\.|if|for)\s/.test(command)
  )
}

/** Plug'n'Play packages are found by Yarn alone. */
function byYarn({ manager }: NodeProject, command: string): string {
  if (!manager.pnp) return command
  return command.startsWith('node ') ? `yarn ${command}` : `yarn run ${command}`
}

/** A tool that is not in the image cannot start what is. */
function devStart({ dependencies, devDependencies }: PackageJson, start: string): string[] {
  const [word = ''] = start.split(/\s/)
  if (!(word in devDependencies) || word in dependencies) return []
  return [
    `"${word}" starts the app and is in devDependencies, which the image has not: move it to dependencies`,
  ]
}

const servers = [
  '@hapi/hapi',
  '@hono/node-server',
  'express',
  'fastify',
  'h3',
  'koa',
  'polka',
  'restify',
  'socket.io',
  'ws',
]

function serverFile(
  source: Source,
  packageJson: PackageJson,
): { command: string; from: string } | undefined {
  if (source.isFile('server.js')) return { command: 'node server.js', from: 'server.js' }
  const server = servers.find((name) => name in packageJson.dependencies)
  if (!server) return undefined
  const main = typeof packageJson.raw.main === 'string' ? packageJson.raw.main : ''
  const files = [main, 'index.js', 'app.js', 'main.js', 'src/index.js', 'src/server.js']
  const file = files.find((one) => /^[\w./@-]+$/.test(one) && source.isFile(one))
  return file ? { command: `node ${file}`, from: `${file}, with ${server}` } : undefined
}

/** What `bun init` writes, and what else is usual. */
function bunFile(source: Source, { raw }: PackageJson): NodeWeb['web'] {
  const named = [raw.module, raw.main].filter((one) => typeof one === 'string')
  const files = [...named, 'index.ts', 'server.ts', 'src/index.ts', 'index.js', 'server.js']
  const file = files.find((one) => /^[\w./@-]+$/.test(one) && source.isFile(one))
  return file ? { command: `bun ${file}`, from: file } : undefined
}
