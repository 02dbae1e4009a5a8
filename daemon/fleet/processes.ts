import { appPort } from '../../core/config.ts'
import { byText } from '../../core/names.ts'
import type {
  App,
  AppLimits,
  Config,
  Formation,
  Image,
  InstanceSpec,
  Limits,
  Release,
} from '../../core/types.ts'

/** Pure: from a release to the containers it wants. */

/** Every process a formation asks for, `web` first: `['web.1', 'web.2', 'worker.1']`. */
export function wantedProcesses(release: Release): string[] {
  const types = Object.keys(release.image.processes).filter((type) => type !== 'release')
  types.sort((a, b) => Number(b === 'web') - Number(a === 'web') || byText(a, b))
  return types.flatMap((type) =>
    Array.from({ length: release.formation[type] ?? 0 }, (_, index) => `${type}.${index + 1}`),
  )
}

/** The first deploy runs one `web`; later ones keep what is set and add new types at 0. */
export function formationFor(processes: Record<string, string>, current: Formation): Formation {
  const types = Object.keys(processes).filter((type) => type !== 'release')
  const set = new Map(Object.entries(current))
  return Object.fromEntries(types.map((type) => [type, set.get(type) ?? (type === 'web' ? 1 : 0)]))
}

/** Types of an app that were stopped and not started or scaled since, with what ran of each. */
export function stoppedTypes(app: App, formation: Formation): Formation {
  const stopped = Object.entries(app.stopped).filter(([type]) => (formation[type] ?? 0) === 0)
  return Object.fromEntries(stopped)
}

/** `web.2` → `web` */
export function processType(process: string): string {
  return process.slice(0, process.lastIndexOf('.'))
}

/** The container of one process. `argv` replaces the process type's own command. */
export function instanceSpec(
  release: Release,
  process: string,
  placed: { id: string; address: string },
  argv?: string[],
): InstanceSpec {
  const { image } = release
  const type = processType(process)
  return {
    ...placed,
    app: release.app,
    process,
    release: release.version,
    layers: image.layers,
    argv: argv ? withProfile(image, argv) : argvOf(image, type),
    env: processEnv(release, process),
    limits: limitsOf(release.limits, type),
    ...(image.workdir !== undefined && { workdir: image.workdir }),
    ...(image.user && { user: image.user }),
    ...(image.port !== undefined && { port: image.port }),
  }
}

/** What a process type runs: the image's own words exactly, or a line for a shell. */
export function argvOf(image: Image, type: string): string[] {
  const { commands, processes } = image
  return withProfile(image, commands?.[type] ?? shellArgv(processes[type] ?? ''))
}

/** Buildpacks leave scripts that set the environment of whatever runs, in their order. */
function withProfile({ profile }: Image, argv: string[]): string[] {
  return profile ? ['bash', '-c', readProfile, 'bash', ...argv] : argv
}

const readProfile = `
for script in "$HOME"/.profile.d/*.sh "$HOME/.profile"; do
  if [ -r "$script" ]; then . "$script"; fi
done
unset script
exec "$@"`

/**
 * A user's command as a shell starts it, without a shell's reading of it: one that is not there
 * ends with the 127 that scripts know. An image from elsewhere need not have a shell. At a terminal
 * ^Z stops nothing, as nobody is there to let it go on; a shell that is run sets its own answer.
 */
export function lookedUp({ commands }: Image, argv: string[], { terminal = false } = {}): string[] {
  if (commands) return argv
  return ['sh', '-c', `${terminal ? "trap '' TSTP; " : ''}exec "$@"`, 'sh', ...argv]
}

/** What a process of this type may use: its type's own limits, else the app's. */
export function limitsOf({ types, ...all }: AppLimits, type: string): Limits {
  return { ...all, ...types?.[type] }
}

/** What a process sees of config: the app's own wins over that of all apps. */
export function processConfig({ globals, config }: Pick<Release, 'globals' | 'config'>): Config {
  return { ...globals, ...config }
}

/** What a process finds in its environment (contract §8): the platform's own values win. */
export function processEnv(release: Release, process: string): Record<string, string> {
  return {
    ...release.image.env,
    ...processConfig(release),
    PORT: String(release.image.port ?? appPort),
    DYNO: process,
    PAAS_APP: release.app,
    PAAS_RELEASE: `v${release.version}`,
    PAAS_PROCESS: process,
    ...(release.commit ? { GIT_REV: release.commit } : {}),
  }
}

/**
 * A Procfile command is the app's own shell text, run inside its container. `exec` lets a plain
 * command get signals directly; `A=1 cmd` and compound commands would mean something else with it.
 */
export function shellArgv(command: string): string[] {
  const compound = /[&|;<>()`\n]|^\s*\w+=|^\s*(cd|export|if|for|while|exec|set|\.|\{)\s/
  return ['sh', '-c', compound.test(command) ? command : `exec ${command}`]
}
