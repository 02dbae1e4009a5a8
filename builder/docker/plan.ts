import { posix } from 'node:path'
import { Failure } from '../../core/errors.ts'
import { detectors, dockerfileBuilder } from '../buildpack-detect/detect.ts'
import { readWishes, type Wishes } from '../buildpack-detect/paas-toml.ts'
import { parseProcfile } from '../buildpack-detect/procfile.ts'
import type { Source } from '../source/source.ts'
import {
  firstPort,
  imagesOf,
  type NamedImage,
  parseDockerfile,
  type Shells,
  shellsOf,
} from './dockerfile.ts'

/** How a Dockerfile is built: plain JSON, decided by reading files alone. */
export type DockerPlan = {
  language: 'Dockerfile'
  /** The file that decided it. */
  because: string
  /** How to have another thing built. */
  otherwise: string
  /** Paths in the tree; `.` is its top. */
  file: string
  context: string
  target: string | undefined
  args: Record<string, string>
  /** Keys of the app's config that are build arguments too, if they are set. */
  configArgs: string[]
  /** Keys of the app's config that `RUN --mount=type=secret,id=KEY` sees, and no layer has. */
  secrets: string[]
  /** Images from elsewhere that it is made of. */
  images: NamedImage[]
  /** The first that it exposes, where it says so itself. */
  port: number | undefined
  /** By which shells the image starts, where that is another than usual. */
  shells: Shells
  /** In place of its ENTRYPOINT and CMD. */
  processes: Record<string, string> | undefined
  processesFrom: string
  env: Record<string, string>
  warnings: string[]
}

/**
 * Undefined when the tree is to be built in another way. Throws a Failure when it cannot be.
 * `folder` wins over the app_dir of paas.toml.
 */
export function planDockerfile(
  source: Source,
  builder: string | undefined,
  folder?: string,
): DockerPlan | undefined {
  const wished = readWishes(source)
  const wishes = { ...wished, appDir: folder ?? wished.appDir }
  const name = builder ?? wishes.builder
  const { docker, appDir, env } = wishes
  const file = docker.file ?? posix.join(appDir, 'Dockerfile')
  if (name !== undefined && name !== dockerfileBuilder) return undefined
  const text = source.readText(file)
  if (text === undefined && name === undefined && docker.file === undefined) return undefined
  if (text === undefined) throw new Failure('failed', `There is no ${file} to build`)
  const context = docker.context ?? (appDir || '.')
  if (context !== '.' && !source.isDirectory(context)) {
    throw new Failure('failed', `There is no folder "${context}" (docker.context in paas.toml)`)
  }
  const parsed = parseDockerfile(file, text)
  const { target, args, configArgs, secrets } = docker
  const { processes, processesFrom } = findProcesses(source, wishes)
  const noWeb = processes && !('web' in processes)
  return {
    language: 'Dockerfile',
    because: name === undefined ? file : `${file}, builder ${name}`,
    otherwise: otherwise(source, appDir),
    file,
    context,
    target,
    args,
    configArgs,
    secrets,
    images: imagesOf(parsed, { target, args }),
    port: firstPort(parsed, target),
    shells: shellsOf(parsed, target),
    processes,
    processesFrom,
    env,
    warnings: [
      ...unused(wishes),
      ...(noWeb ? [`No web process in ${processesFrom}: nothing will answer requests`] : []),
    ],
  }
}

function findProcesses(
  source: Source,
  { processes, appDir }: Wishes,
): Pick<DockerPlan, 'processes' | 'processesFrom'> {
  if (processes) return { processes, processesFrom: 'paas.toml' }
  const procfile = source.readText(posix.join(appDir, 'Procfile'), 65_536)
  if (procfile === undefined) return { processes: undefined, processesFrom: 'the image' }
  return { processes: parseProcfile(procfile), processesFrom: 'Procfile' }
}

/** Whoever writes a Dockerfile means it; whoever does not is told how to say so. */
function otherwise(source: Source, appDir: string): string {
  const at = (path: string) => posix.join(appDir, path)
  const within: Source = {
    ...source,
    isFile: (path) => source.isFile(at(path)),
    readText: (path, most) => source.readText(at(path), most),
    list: (path = '') => source.list(at(path)),
  }
  const fits = detectors.find(([, detector]) => detector.detect(within))?.[1]
  const instead = fits ? `build it as ${fits.language}` : 'have a language detected'
  return `To ${instead} instead: builder:set <app> detect, and push again`
}

function unused({ apt, base, buildCommand, versions }: Wishes): string[] {
  const set = [
    ...(base === undefined ? [] : ['base']),
    ...(apt.length > 0 ? ['apt'] : []),
    ...(buildCommand === undefined ? [] : ['build.command']),
    ...(Object.keys(versions).length > 0 ? ['versions'] : []),
  ]
  return set.map((key) => `${key} in paas.toml says nothing to a Dockerfile`)
}
