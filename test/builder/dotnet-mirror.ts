import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { serveFiles } from './mirror.ts'

/** A mirror of .NET's own makers on the loopback, with their lists of releases. */

export type Published = { sdk: string; runtime: string; archives: { sdk: string; runtime: string } }

/** One release by channel: versions, and the files that are their archives. */
export async function startMirror(channels: Record<string, Published>) {
  const files = new Map<string, Buffer>()
  const put = (path: string, value: unknown) => files.set(path, Buffer.from(JSON.stringify(value)))
  const index = Object.entries(channels).map(([channel, { sdk, runtime }]) => {
    const type = Number(channel.split('.')[0]) % 2 === 0 ? 'lts' : 'sts'
    const latest = { 'latest-sdk': sdk, 'latest-runtime': runtime }
    return { 'channel-version': channel, ...latest, 'release-type': type }
  })
  put('/dotnet/release-metadata/releases-index.json', { 'releases-index': index })
  for (const [channel, { sdk, runtime, archives }] of Object.entries(channels)) {
    const part = (version: string, name: string, archive: string) => {
      const file = `${name}-linux-${process.arch}.tar.gz`
      const bytes = readFileSync(archive)
      files.set(`/dotnet/${version}/${file}`, bytes)
      const hash = createHash('sha512').update(bytes).digest('hex').toUpperCase()
      const url = `https://builds.dotnet.microsoft.com/dotnet/${version}/${file}`
      const other = { name: `${name}-win-x64.zip`, url: 'https://example.com/', hash: '0' }
      return { version, files: [other, { name: file, url, hash }] }
    }
    const rt = part(runtime, 'aspnetcore-runtime', archives.runtime)
    const release = { sdks: [part(sdk, 'dotnet-sdk', archives.sdk)], 'aspnetcore-runtime': rt }
    put(`/dotnet/release-metadata/${channel}/releases.json`, { releases: [release] })
  }
  const mirror = await serveFiles(files)
  return { ...mirror, url: `${mirror.url}/dotnet` }
}
