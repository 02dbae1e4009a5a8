import semver from 'semver'
import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'
import type { Source } from '../source/source.ts'
import type { SuiteCandidate, ToolRequest, VersionText } from './plan.ts'
import { firstLine, firstPin, toolVersion } from './version-files.ts'

/**
 * What a tree asks of Go. The `go` lines of go.work and go.mod are a rule: at least that. The first
 * of .go-version, .tool-versions, `// +heroku goVersion` and `toolchain` is the wish within it.
 */
export function goRequest(source: Source): { tool: ToolRequest; warnings: string[] } {
  const read = (file: string) => source.readText(file, 1024 * 1024) ?? ''
  const [work, mod] = [read('go.work'), read('go.mod')]
  const least = [leastOf(work, 'go.work'), leastOf(mod, 'go.mod')].filter(Boolean)
  const file = mod === '' && work !== '' ? 'go.work' : 'go.mod'
  const toolchain = directive(mod || work, /^\s*toolchain\s+(\S+)/m)
  const { pin, warnings } = firstPin([
    pinOf(firstLine(source, '.go-version'), '.go-version'),
    pinOf(toolVersion(source, ['golang', 'go']), '.tool-versions'),
    pinOf(directive(mod, /^\s*\/\/ \+heroku goVersion (\S+)/m), '+heroku goVersion in go.mod'),
  ])
  return {
    tool: {
      tool: 'go',
      constraint: least.sort(byVersion).at(-1),
      pin: pin ?? pinOf(toolchain, `toolchain in ${file}`, '>='),
      choose: `a line "go 1.24" in ${file}, or .go-version`,
      inImage: false,
      suite: { name: 'Go', candidates },
    },
    warnings,
  }
}

/** Newest first: the suite's newest is the default. A toolchain builds what older ones did. */
const candidates = Array.from({ length: 15 }, (_one, index): SuiteCandidate => {
  const line = `1.${34 - index}`
  const name = `golang-${line}-go`
  const root = `/usr/lib/go-${line}`
  return { package: name, run: [], build: [name], path: `${root}/bin`, finish: compile(root) }
})

/** The library, compiled: it takes longer than most apps do. The flags are those of the apps. */
function compile(root: string): string {
  return `export GOCACHE=${root}/library GOTMPDIR=${root}/making GOTELEMETRY=off
mkdir $GOTMPDIR
nice ${root}/bin/go build -trimpath std
rm -r $GOTMPDIR`
}

function leastOf(text: string, file: string): VersionText | undefined {
  return pinOf(directive(text, /^\s*go\s+(\S+)/m), `go in ${file}`, '>=')
}

function directive(text: string, line: RegExp): string | undefined {
  return line.exec(text)?.[1]
}

function byVersion(a?: VersionText, b?: VersionText): number {
  return semver.compare(
    semver.minVersion(a?.range ?? '*') ?? '',
    semver.minVersion(b?.range ?? '*') ?? '',
  )
}

/** `1.24`, `go1.24.3`, `1.25rc1`. Throws a Failure that names the file. */
function pinOf(text: string | undefined, from: string, atLeast = ''): VersionText | undefined {
  if (text === undefined || text === 'default' || text === 'local') return undefined
  const version = /^(?:go)?(\d+(?:\.(?:\d+|x))*)(?:(?:rc|beta)\d+)?(?:-[\w.]+)?$/.exec(text)?.[1]
  const range = version === undefined ? null : semver.validRange(`${atLeast}${version}`)
  if (range) return { text: printable(text), range, from }
  throw new Failure('failed', `${from} says "${printable(text)}": not a Go version`, {
    hint: 'Use a version such as 1.24 or 1.24.3',
  })
}
