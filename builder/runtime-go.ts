import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, readFile, rename, rm, stat, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import semver from 'semver'
import type { PaasConfig } from '../core/config.ts'
import { errno, Failure } from '../core/errors.ts'
import { exec } from '../core/exec.ts'
import { newId, paths } from '../core/names.ts'
import { download } from './import/download.ts'
import { items, member, parseJson, text } from './json-document.ts'
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

const listAgeMaxMs = 24 * 3600_000
const unpackTimeoutMs = 5 * 60_000
const architecture: Record<string, string> = { x64: 'amd64', arm64: 'arm64' }

async function makeGo(version: string, dir: string, context: RuntimeContext): Promise<void> {
  const { config, signal } = context
  const release = (await readReleases(context)).find((one) => one.version === version)
  if (!release) throw new Failure('temporary', `Go ${version} is no longer published`)
  const archive = join(dir, 'archive')
  await download(new URL(release.file, mirrorOf(config)).href, archive, signal)
  const hash = createHash('sha256')
  await pipeline(createReadStream(archive), hash)
  if (hash.digest('hex') !== release.sha256) {
    throw new Failure('failed', `${release.file} is not what its checksum says: it is not used`)
  }
  const local = join(dir, 'usr/local')
  await mkdir(join(local, 'bin'), { recursive: true })
  const options = ['--no-same-owner', '--no-same-permissions', '--directory', local]
  await exec('tar', ['--extract', '--gzip', '--file', archive, ...options], {
    signal,
    timeoutMs: unpackTimeoutMs,
  })
  for (const name of ['go', 'gofmt']) await symlink(`../go/bin/${name}`, join(local, 'bin', name))
  await rm(archive)
}

/** From the host's cache when it is younger than a day. Failure: no list can be had. */
async function readReleases({ config, say, signal }: RuntimeContext): Promise<Release[]> {
  const file = paths(config).versions(`go-${process.arch}`)
  const age = await stat(file).then(
    ({ mtimeMs }) => Date.now() - mtimeMs,
    (error: unknown) => {
      if (errno(error) === 'ENOENT') return Infinity
      throw error
    },
  )
  if (age > listAgeMaxMs) {
    const mirror = mirrorOf(config)
    say(`       Go: reading the releases at ${mirror}`)
    await mkdir(dirname(file), { recursive: true })
    const beside = `${file}.${newId()}`
    try {
      await download(new URL('?mode=json&include=all', mirror).href, beside, signal)
      parseReleases(await readFile(beside, 'utf8'))
      await rename(beside, file)
    } finally {
      await rm(beside, { force: true })
    }
  }
  return parseReleases(await readFile(file, 'utf8'))
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
