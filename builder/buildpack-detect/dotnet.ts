import { posix } from 'node:path'
import { shellText } from '../../core/shell-text.ts'
import type { Source } from '../source/source.ts'
import { chooseProject, type Project, projectFile, solutionFile } from './dotnet-projects.ts'
import { dotnetRequests, frameworkOf } from './dotnet-version.ts'
import { nodeAssets } from './node-assets.ts'
import {
  cacheTarget,
  type Detector,
  type LanguagePlan,
  type Step,
  type Surroundings,
} from './plan.ts'

/** .NET: one project is published into publish/; the SDK stays out of the image. */
export const dotnet: Detector = {
  language: '.NET',
  looksFor: 'global.json, *.sln, *.slnx or *.csproj',
  detect: (source) => {
    const names = source.list()
    return (
      names.find((name) => solutionFile.test(name)) ??
      names.find((name) => projectFile.test(name)) ??
      ['global.json'].find((file) => source.isFile(file))
    )
  },
  plan: planDotnet,
}

function planDotnet(source: Source, around: Surroundings): LanguagePlan {
  const { root, folder } = around
  const project = chooseProject(source, around)
  const framework = frameworkOf(project)
  const { runtime, sdk } = dotnetRequests(root, folder, { project, framework })
  const assets = nodeAssets(source, [])
  // Languages and their orders come from a library, unless the app does without.
  const isInvariant = project.property('InvariantGlobalization') === 'true'
  const icu = isInvariant ? [] : ['libicu76']
  const on = assets.steps.map(({ name }) => name)
  return {
    tools: [runtime, sdk, ...assets.tools],
    apt: { run: icu, build: icu },
    steps: [...assets.steps, publishStep(project, framework.several ? framework.name : '', on)],
    env: {
      DOTNET_ROOT: '/usr/local/dotnet',
      DOTNET_RUNNING_IN_CONTAINER: 'true',
      DOTNET_NOLOGO: 'true',
      ...(isInvariant && { DOTNET_SYSTEM_GLOBALIZATION_INVARIANT: 'true' }),
    },
    warnings: assets.warnings,
    web: project.isWeb
      ? { command: webOf(project), from: `Microsoft.NET.Sdk.Web in ${project.path}` }
      : undefined,
    howToStart: `Add a Procfile with: worker: dotnet publish/${assemblyOf(project)}`,
  }
}

function publishStep({ path, property }: Project, framework: string, on: string[]): Step {
  const invariant = property('InvariantGlobalization') === 'true'
  const options = ['--configuration', 'Release', ...(framework ? ['--framework', framework] : [])]
  return {
    name: 'build',
    kind: 'build',
    title: `dotnet publish ${path}`,
    argv: ['sh', '-c', publish, 'sh', path, ...options, ...properties],
    env: {
      DOTNET_CLI_HOME: '/tmp',
      DOTNET_CLI_TELEMETRY_OPTOUT: 'true',
      DOTNET_GENERATE_ASPNET_CERTIFICATE: 'false',
      DOTNET_NOLOGO: 'true',
      DOTNET_SKIP_FIRST_TIME_EXPERIENCE: 'true',
      MSBUILDDISABLENODEREUSE: '1',
      NUGET_PACKAGES: `${cacheTarget}/nuget`,
      ...(invariant && { DOTNET_SYSTEM_GLOBALIZATION_INVARIANT: 'true' }),
    },
    configKeys: ['NUGET_TOKEN', 'NUGET_AUTH_TOKEN', 'VSS_NUGET_EXTERNAL_FEED_ENDPOINTS'],
    configPrefixes: [],
    inputs: { kind: 'tree', why: 'every file' },
    on,
    inImage: true,
    shareable: false,
    drop: [],
    hint: `Try it at home with: dotnet publish ${path}`,
  }
}

/**
 * What compilers leave beside every project is of no use afterwards: they work on a copy, and the
 * image has what comes of it.
 */
const publish = `set -e
folder=$(pwd)
cp -R --preserve=mode,timestamps,links /app /tmp/source
cd "/tmp/source\${folder#/app}"
exec dotnet publish "$@" --output "$folder/publish"`

/**
 * The shared runtime runs NAME.dll: whatever a project says of a program that has it in itself, for
 * which parts would have to be fetched. No server stays behind that compiles.
 */
const properties = [
  ...['SelfContained', 'PublishAot', 'PublishSingleFile', 'PublishTrimmed', 'UseAppHost'],
  'UseSharedCompilation',
].map((name) => `-p:${name}=false`)

/** In its folder, where its settings and its files for the web are. */
function webOf(project: Project): string {
  return `cd publish && ASPNETCORE_URLS=http://0.0.0.0:$PORT exec dotnet ${shellText([assemblyOf(project)])}`
}

function assemblyOf({ path, property }: Project): string {
  const name = property('AssemblyName') ?? ''
  const isPlain = /^[\w. -]+$/.test(name) // and not put together of other properties
  return `${isPlain ? name : posix.basename(path).replace(projectFile, '')}.dll`
}
