import { mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import semver from 'semver'
import type { PaasConfig } from '../../core/config.ts'
import { Failure } from '../../core/errors.ts'
import { items, member, parseJson, text } from '../json-document.ts'
import { readList, unpackArchive } from './makers.ts'
import type { Runtime, RuntimeContext } from './runtime.ts'
import { chooseVersion, noVersion } from './versions.ts'

/** Go as its makers publish it, for the versions that the suite has not; with their checksums. */
export const goRuntime: Runtime = {
  choose: async (request, context) => {
    const available = (await readReleases(context)).map(({ version }) => version)
    const choice = chooseVersion(request, { available, isStable: () => true })
    if (choice) return choice
    throw noVersion('Go', request, available)
  },
  layer: (version) => ({
    kind: 'runtime',
    key: `go-${version}-${process.arch}-1`,
    label: `Go ${version}`,
  }),
  make: makeGo,
  buildEnv: () => ({}),
}

/** An archive that the list of releases has for this machine. */
type Release = { version: string; file: string; sha256: string }

const architecture: Record<string, string> = { x64: 'amd64', arm64: 'arm64' }

async function makeGo(version: string, dir: string, context: RuntimeContext): Promise<void> {
  const { config, signal } = context
  const release = (await readReleases(context)).find((one) => one.version === version)
  if (!release) throw new Failure('temporary', `Go ${version} is no longer published`)
  const local = join(dir, 'usr/local')
  await mkdir(join(local, 'bin'), { recursive: true })
  const url = new URL(release.file, mirrorOf(config)).href
  await unpackArchive({ url, algorithm: 'sha256', checksum: release.sha256 }, local, signal)
  for (const name of ['go', 'gofmt']) await symlink(`../go/bin/${name}`, join(local, 'bin', name))
}

function readReleases(context: RuntimeContext): Promise<Release[]> {
  const url = new URL('?mode=json&include=all', mirrorOf(context.config)).href
  return readList({ key: `go-${process.arch}`, name: 'Go', url, parse: parseReleases }, context)
}

function mirrorOf({ goMirror }: PaasConfig): string {
  if (goMirror !== undefined) return goMirror
  throw new Failure('failed', 'Go is taken from Debian alone: PAAS_GO_MIRROR is off')
}

/** `[{"version": "go1.24.1", "stable": true, "files": [{"filename", "os", "arch", "kind"…}]}]` */
function parseReleases(content: string): Release[] {
  const list = items(parseJson('The list of Go releases', content))
  return list.flatMap((entry) => {
    const version = semver.coerce(text(member(entry, 'version') ?? entry))?.version
    if (!version || member(entry, 'stable')?.value !== true) return []
    const files = items(member(entry, 'files') ?? { ...entry, value: [] })
    const file = files.find((one) => {
      const is = (key: string, value: string | undefined) => member(one, key)?.value === value
      return is('os', 'linux') && is('arch', architecture[process.arch]) && is('kind', 'archive')
    })
    const [name, sha256] = [file && member(file, 'filename'), file && member(file, 'sha256')]
    return name && sha256 ? [{ version, file: text(name), sha256: text(sha256) }] : []
  })
}
