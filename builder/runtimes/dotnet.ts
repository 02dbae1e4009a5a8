import { mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import semver from 'semver'
import { dotnetHome, type PaasConfig } from '../../core/config.ts'
import { Failure } from '../../core/errors.ts'
import type { ToolRequest } from '../buildpack-detect/plan.ts'
import { items, type Json, member, parseJson, text } from '../json-document.ts'
import { readList, unpackArchive } from './makers.ts'
import type { Runtime, RuntimeContext } from './runtime.ts'
import { type Choice, chooseVersion, noVersion } from './versions.ts'

/** .NET as its makers publish it, with their checksums: Debian has none. */

/** What builds: compilers, and a runtime of its own version. */
export const dotnetSdk = runtimeOf({
  name: '.NET SDK',
  key: 'dotnet-sdk',
  latest: 'latest-sdk',
  parts: (release) => {
    const several = member(release, 'sdks')
    const one = member(release, 'sdk')
    return several ? items(several) : one ? [one] : []
  },
  file: `dotnet-sdk-linux-${process.arch}.tar.gz`,
})

/** What runs: the runtime of .NET, and that of ASP.NET Core on it. */
export const dotnetRuntime = runtimeOf({
  name: 'ASP.NET Core',
  key: 'dotnet-aspnetcore',
  latest: 'latest-runtime',
  parts: (release) => {
    const one = member(release, 'aspnetcore-runtime')
    return one ? [one] : []
  },
  file: `aspnetcore-runtime-linux-${process.arch}.tar.gz`,
})

type Kind = {
  name: string
  key: string
  /** Where the index says which is the newest of a channel. */
  latest: string
  /** Those of one release, each with `version` and `files`. */
  parts: (release: Json) => Json[]
  file: string
}

function runtimeOf(kind: Kind): Runtime {
  const { name, key } = kind
  return {
    choose: (request, context) => choose(kind, request, context),
    layer: (version) => ({
      kind: 'runtime',
      key: `${key}-${version}-${process.arch}-1`,
      label: `${name} ${version}`,
    }),
    make: (version, dir, context) => make(kind, { version, dir }, context),
    buildEnv: () => ({ DOTNET_ROOT: '/usr/local/dotnet' }),
  }
}

async function choose(kind: Kind, request: ToolRequest, context: RuntimeContext): Promise<Choice> {
  const index = await readIndex(kind, context)
  const available: string[] = []
  for (const { channel } of channelsFor(request, index)) {
    const parts = await readChannel(kind, channel, context)
    available.push(...parts.map(({ version }) => version))
  }
  const stable = new Set(index.filter(({ isLts }) => isLts).map(({ channel }) => majorOf(channel)))
  const isStable = (major: number) => stable.has(major)
  const choice = chooseVersion(request, { available, isStable })
  if (choice) return choice
  const known = available.length > 0 ? available : index.map(({ newest }) => newest)
  throw noVersion(kind.name, request, known)
}

async function make(
  kind: Kind,
  { version, dir }: { version: string; dir: string },
  context: RuntimeContext,
): Promise<void> {
  const channel = `${semver.major(version)}.${semver.minor(version)}`
  const parts = await readChannel(kind, channel, context)
  const part = parts.find((one) => one.version === version)
  if (!part) throw new Failure('temporary', `${kind.name} ${version} is no longer published`)
  const local = join(dir, 'usr/local')
  for (const name of ['bin', 'dotnet']) await mkdir(join(local, name), { recursive: true })
  const url = mirrored(part.url, context.config)
  const archive = { url, algorithm: 'sha512', checksum: part.sha512 } as const
  await unpackArchive(archive, join(local, 'dotnet'), context.signal)
  await symlink('../dotnet/dotnet', join(local, 'bin/dotnet'))
}

/** A line of releases, such as `8.0`. */
type Channel = { channel: string; isLts: boolean; newest: string }

/** Those that may have what is asked for: each has a list of its own to be read. */
function channelsFor({ constraint, pin }: ToolRequest, index: Channel[]): Channel[] {
  const range = constraint?.range ?? pin?.range
  if (range !== undefined) {
    return index.filter(({ channel }) => semver.intersects(range, `${channel}.x`))
  }
  const lts = index.filter(({ isLts }) => isLts)
  const newest = lts.toSorted((a, b) => semver.rcompare(`${a.channel}.0`, `${b.channel}.0`))
  return newest.slice(0, 1)
}

function readIndex({ latest }: Kind, context: RuntimeContext): Promise<Channel[]> {
  const parse = (content: string) => {
    const index = member(parseJson('The list of .NET channels', content), 'releases-index')
    return (index ? items(index) : []).flatMap((one): Channel[] => {
      const [channel, newest] = [textAt(one, 'channel-version'), textAt(one, latest)]
      // A preview is a version before the first, which no range means.
      if (!/^\d+\.\d+$/.test(channel) || !semver.valid(newest) || semver.prerelease(newest)) {
        return []
      }
      return [{ channel, newest, isLts: textAt(one, 'release-type') === 'lts' }]
    })
  }
  const key = latest.replace('latest', 'dotnet')
  return readAt({ key, path: 'releases-index.json', parse }, context)
}

/** One that is published for this machine. */
type Part = { version: string; url: string; sha512: string }

function readChannel(
  { key, parts, file }: Kind,
  channel: string,
  context: RuntimeContext,
): Promise<Part[]> {
  const parse = (content: string) => {
    const releases = member(parseJson(`The list of .NET ${channel}`, content), 'releases')
    const all = (releases ? items(releases) : []).flatMap(parts)
    return all.flatMap((part): Part[] => {
      const version = textAt(part, 'version')
      const files = member(part, 'files')
      const found = files && items(files).find((one) => textAt(one, 'name') === file)
      const [url, sha512] = found ? [textAt(found, 'url'), textAt(found, 'hash')] : ['', '']
      if (!semver.valid(version) || semver.prerelease(version)) return []
      return url && /^[0-9a-f]{128}$/i.test(sha512) ? [{ version, url, sha512 }] : []
    })
  }
  return readAt({ key: `${key}-${channel}`, path: `${channel}/releases.json`, parse }, context)
}

async function readAt<T>(
  { key, path, parse }: { key: string; path: string; parse: (content: string) => T },
  context: RuntimeContext,
): Promise<T> {
  const url = new URL(`release-metadata/${path}`, mirrorOf(context.config)).href
  try {
    return await readList({ key: `${key}-${process.arch}`, name: '.NET', url, parse }, context)
  } catch (cause) {
    if (context.signal.aborted || !(cause instanceof Failure)) throw cause
    throw new Failure('temporary', `.NET is not to be had: ${cause.message}`, {
      hint: `PAAS_DOTNET_MIRROR may name a mirror of ${dotnetHome}\nOr build with a Dockerfile`,
      cause,
    })
  }
}

/** Lists name archives by whole addresses, or by where they are on a mirror. */
function mirrored(url: string, config: PaasConfig): string {
  const mirror = mirrorOf(config)
  return url.startsWith(dotnetHome)
    ? new URL(url.slice(dotnetHome.length), mirror).href
    : new URL(url, mirror).href
}

function mirrorOf({ dotnetMirror }: PaasConfig): string {
  if (dotnetMirror !== undefined) return dotnetMirror
  throw new Failure('failed', '.NET is not in Debian, and PAAS_DOTNET_MIRROR is off', {
    hint: 'Build with a Dockerfile that begins: FROM mcr.microsoft.com/dotnet/sdk',
  })
}

function textAt(json: Json, key: string): string {
  const found = member(json, key)
  return found && typeof found.value === 'string' ? text(found) : ''
}

function majorOf(channel: string): number {
  return Number(channel.split('.')[0])
}
