import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'
import type { Source } from '../source.ts'
import type { Detector } from './plan.ts'

/**
 * .NET is recognised, and no other language takes its place; Debian has no SDK of it, and so there
 * is nothing to build it with.
 */
export const dotnet: Detector = {
  language: '.NET',
  looksFor: 'global.json, *.sln or *.csproj (it needs a Dockerfile as well)',
  detect: (source) => {
    const names = source.list()
    return (
      names.find((name) => /\.(sln|slnx)$/.test(name)) ??
      names.find((name) => /\.(cs|fs|vb)proj$/.test(name)) ??
      ['global.json'].find((file) => source.isFile(file))
    )
  },
  plan: (source) => {
    const wanted = wantedVersion(source)
    const image = `mcr.microsoft.com/dotnet/sdk:${/^\d+\.\d+/.exec(wanted ?? '')?.[0] ?? '10.0'}`
    const asked = wanted === undefined ? '' : ` ${wanted}`
    throw new Failure('failed', `.NET${asked} detected, but Debian has no .NET SDK`, {
      hint: `Build it with a Dockerfile that begins: FROM ${image}`,
    })
  },
}

/** The SDK of global.json, else the framework that a project is for: `net8.0` is 8.0. */
function wantedVersion(source: Source): string | undefined {
  const sdk = /"version"\s*:\s*"(\d[\w.-]*)"/.exec(source.readText('global.json') ?? '')?.[1]
  if (sdk !== undefined) return printable(sdk)
  const project = source.list().find((name) => /\.(cs|fs|vb)proj$/.test(name))
  const text = project === undefined ? undefined : source.readText(project)
  return /<TargetFrameworks?>net(\d+\.\d+)/.exec(text ?? '')?.[1]
}
