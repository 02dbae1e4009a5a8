import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'
import type { Source } from '../source/source.ts'
import { findMains, type Main } from './go-mains.ts'
import { goRequest } from './go-version.ts'
import { nodeAssets } from './node-assets.ts'
import { cacheTarget, type Detector, type LanguagePlan, type Step, systemPath } from './plan.ts'

/** Go: every program of the tree is built into bin/; the toolchain stays out of the image. */
export const go: Detector = {
  language: 'Go',
  looksFor: 'go.mod, go.work or main.go',
  detect: (source) => markers.find((file) => source.isFile(file)),
  plan: planGo,
}

const markers = ['go.work', 'go.mod', 'main.go']

function planGo(source: Source): LanguagePlan {
  refuseOldManagers(source)
  const { tool, warnings } = goRequest(source)
  const mains = findMains(source)
  if (mains.length === 0) throw noProgram(source)
  refuseEqualNames(mains)
  const assets = nodeAssets(source, [])
  const beneath = assets.steps.map(({ name }) => name)
  return {
    tools: [tool, ...assets.tools],
    steps: [...assets.steps, buildStep(source, mains, beneath)],
    env: { PATH: `/app/bin:${systemPath}` },
    warnings: [...warnings, ...vendorWarnings(source), ...assets.warnings],
    web: webOf(mains),
    howToStart: `Its programs: ${shown(mains)}\nAdd a Procfile with: web: bin/${mains[0]?.name}`,
  }
}

/** Managers from before modules knew the tree's own import path; nothing in the tree says it. */
function refuseOldManagers(source: Source): void {
  if (source.isFile('go.mod') || source.isFile('go.work')) return
  const old = ['Gopkg.lock', 'Godeps/Godeps.json', 'glide.yaml', 'vendor/vendor.json']
  const file = old.find((name) => source.isFile(name))
  if (!file) return
  throw new Failure('failed', `Go detected, but ${file} is of a time before modules`, {
    hint: 'Make it a module: go mod init, go mod tidy, commit go.mod and go.sum, push again',
  })
}

function noProgram(source: Source): Failure {
  const where = source.isFile('go.work') ? 'the modules that go.work uses' : 'the module'
  return new Failure('failed', `Go detected, but there is no program in ${where}`, {
    hint: 'A program is a folder of .go files with "package main"; folders six deep are looked at',
  })
}

/** Both would be bin/<name>. */
function refuseEqualNames(mains: Main[]): void {
  for (const [index, { name, folder }] of mains.entries()) {
    const other = mains.slice(0, index).find((one) => one.name === name)
    if (!other) continue
    const folders = [other.folder, folder].map((one) => printable(one || '.')).join(' and ')
    throw new Failure('failed', `Go detected, but ${folders} both make a program "${name}"`, {
      hint: 'Rename one of the folders, or choose what is built: [build] command in paas.toml',
    })
  }
}

function vendorWarnings(source: Source): string[] {
  if (!source.isDirectory('vendor') || source.isFile('vendor/modules.txt')) return []
  if (!source.isFile('go.mod')) return []
  return ['vendor/ has no modules.txt and is not used: go mod vendor, and commit all of vendor/']
}

function buildStep(source: Source, mains: Main[], on: string[]): Step {
  const vendored = source.isFile('vendor/modules.txt') && !source.isFile('go.work')
  const packages = mains.map(({ folder }) => (folder === '' ? '.' : `./${folder}`))
  const options = [...(vendored ? ['-mod=vendor'] : []), '-trimpath', '-o', 'bin/']
  const isModule = source.isFile('go.mod') || source.isFile('go.work')
  return {
    name: 'build',
    kind: 'build',
    title: `go build -o bin/ ${packages.join(' ')}`,
    argv: ['sh', '-c', build, 'sh', ...options, ...packages],
    env: {
      GOCACHE: `${cacheTarget}/go-build`,
      GOMODCACHE: `${cacheTarget}/go-mod`,
      GOPATH: '/tmp/go',
      // The version was chosen; go itself would quietly download another.
      GOTOOLCHAIN: 'local',
      GOTELEMETRY: 'off',
    },
    configKeys: ['GOPROXY', 'GOPRIVATE', 'GONOPROXY', 'GONOSUMDB', 'GOSUMDB'],
    configPrefixes: ['CGO_', 'GOEXPERIMENT', 'GOFLAGS'],
    inputs: {
      kind: 'tree',
      why: 'every file',
      ...(!isModule && { write: { 'go.mod': 'module app\n\ngo 1.22\n' } }),
    },
    on,
    inImage: true,
    shareable: false,
    drop: [],
    hint: isModule
      ? `Try it at home with: go build ${packages.join(' ')}`
      : 'There is no go.mod: go mod init and go mod tidy make one',
  }
}

/**
 * An app's own cache of compiled packages has links to the library's, which the toolchain brings.
 * Go tidies away what it thinks is old; a library of another making begins the cache anew.
 */
const build = `set -e
library=$(go env GOROOT)/library
if [ -d "$library" ]; then
  begun=$GOCACHE/begun-$(stat --format=%Y "$library")
  if [ ! -e "$begun" ]; then rm -rf "$GOCACHE"; fi
  mkdir -p "$GOCACHE"
  cp -rs --update=none "$library"/[0-9a-f][0-9a-f] "$GOCACHE"
  touch "$begun"
fi
exec go build "$@"`

/** The program at the top, the only one, or the one whose name says that it serves. */
function webOf(mains: Main[]): LanguagePlan['web'] {
  const named = mains.filter(({ name }) => ['web', 'server'].includes(name))
  const main =
    mains.find(({ folder }) => folder === '') ??
    (mains.length === 1 ? mains[0] : named.length === 1 ? named[0] : undefined)
  return (
    main && { command: `bin/${main.name}`, from: `package main in ${main.folder || 'the top'}` }
  )
}

function shown(mains: Main[]): string {
  const names = mains.slice(0, 10).map(({ name }) => name)
  return `${names.join(', ')}${mains.length > 10 ? ` and ${mains.length - 10} more` : ''}`
}
