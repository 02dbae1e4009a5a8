import type { PaasConfig } from '../../core/config.ts'
import type { Layer, Say } from '../../core/types.ts'
import { aptLayer, ensureApt } from '../stack/apt.ts'
import type { SandboxJob } from '../sandbox.ts'
import { ensureStack } from '../stack/stack.ts'

/**
 * buildah, Debian's own, on the run stack: in the sandbox of a build it is root of the app's user
 * namespace alone, and its RUN steps have less than that.
 */

const packages = ['buildah', 'netavark', 'skopeo']

/** The layers of the sandbox; made once per host, about 400 MB. */
export async function ensureTool(
  config: PaasConfig,
  { say, signal }: { say: Say; signal: AbortSignal },
): Promise<Layer[]> {
  const { run } = await ensureStack(config, say, signal)
  const apt = aptLayer([run], packages)
  if (!apt) return [run]
  await ensureApt(config, apt, { say, signal })
  return [run, apt.layer]
}

type Part = Pick<SandboxJob, 'argv' | 'env'>

/** Where the sandbox of every job has what is kept between builds. */
export const storageTarget = '/var/lib/containers'

const env = {
  HOME: '/root',
  LANG: 'C.UTF-8',
  TMPDIR: `${storageTarget}/tmp`,
  CONTAINERS_STORAGE_CONF: '/run/storage.conf',
  CONTAINERS_REGISTRIES_CONF: '/run/registries.conf',
}

/** Readies the storage. What a killed build left is removed; caches of RUN steps stay. */
const begin = `
set -eu
mkdir -p "$TMPDIR"
find "$TMPDIR" -mindepth 1 -maxdepth 1 ! -name 'buildah-cache-*' -exec rm -rf {} +
cat > "$CONTAINERS_STORAGE_CONF" <<END
[storage]
driver = "overlay"
graphroot = "${storageTarget}/storage"
runroot = "/run/containers"
END
echo 'unqualified-search-registries = ["docker.io"]' > "$CONTAINERS_REGISTRIES_CONF"
buildah rm --all > /dev/null 2>&1 || :
`

export type Pull = {
  /** A transport and a path, such as `dir:/bases/0`. */
  source: string
  names: [string, string]
}

/** Takes images into the storage under two names each. */
export function pullJob(pulls: Pull[]): Part {
  const script = `${begin}
while [ $# -gt 0 ]; do
  id=$(buildah pull --quiet "$1")
  buildah tag "$id" "$2" "$3"
  shift 3
done
`
  return {
    argv: shell(
      script,
      pulls.flatMap(({ source, names }) => [source, ...names]),
    ),
    env,
  }
}

/** Said between the build and the export, which nobody has asked for and nobody shall read. */
export const exportMark = 'paas: exporting'

export type BuildOptions = {
  /** Paths below the target of the context's mount. */
  file: string
  context: string
  target: string | undefined
  args: Record<string, string>
  secrets: Record<string, string>
  /** Images that are known in the storage by another name than the file has. */
  renamed: { written: string; name: string }[]
  noCache: boolean
  /** Whether to remove first what no image needs. */
  prune: boolean
}

/** Where the sandbox of a build has the file of its arguments. */
export const argsTarget = '/build-args'

/**
 * Builds, and writes the image as an OCI layout, with the name `image`, to `/out/layout`. Whoever
 * is on the host can read how a process was called, so arguments come in `argsFile`: for the file
 * `args` of `argsTarget`. A value of several lines fits no line of it and lies in the environment.
 */
export function buildJob(options: BuildOptions): Part & { argsFile: string } {
  const { file, context, target, args, secrets, renamed, noCache, prune } = options
  const script = `${begin}
[ "$1" = no ] || buildah prune --force > /dev/null
shift
buildah build "$@"
echo '${exportMark}'
skopeo copy --quiet --insecure-policy --dest-oci-accept-uncompressed-layers \\
  containers-storage:localhost/built:latest oci:/out/layout:image
`
  const flags = [
    '--isolation=chroot',
    '--network=host', // the sandbox's own
    '--pull=never',
    '--layers',
    '--format=docker', // the only one that knows SHELL
    '--identity-label=false',
    ...(noCache ? ['--no-cache'] : []),
    ...(target === undefined ? [] : [`--target=${target}`]),
    `--build-arg-file=${argsTarget}/args`,
    ...Object.keys(secrets).map((key) => `--secret=id=${key},env=${secretKey(key)}`),
    ...renamed.map(({ written, name }) => `--build-context=${written}=docker-image://${name}`),
    '--tag=localhost/built:latest',
    `--file=${file}`,
  ]
  const secretEnv = Object.entries(secrets).map(([key, value]) => [secretKey(key), value])
  const long = Object.entries(args).filter(([, value]) => value.includes('\n'))
  const lines = Object.entries(args).map(([key, value]) => {
    return value.includes('\n') ? key : `${key}=${value}`
  })
  return {
    argv: shell(script, [prune ? 'prune' : 'no', ...flags, '--', context]),
    env: { ...Object.fromEntries([...long, ...secretEnv]), ...env },
    argsFile: `${lines.join('\n')}\n`,
  }
}

/** So that no key of an app's config is one of the tool's own. */
function secretKey(key: string): string {
  return `SECRET_${key}`
}

function shell(script: string, args: string[]): string[] {
  return ['sh', '-c', script, 'sh', ...args]
}
