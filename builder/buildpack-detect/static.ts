import { posix } from 'node:path'
import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'
import { member, parseJson, words } from '../json-document.ts'
import type { Source } from '../source/source.ts'
import type { Detector, LanguagePlan } from './plan.ts'
import { servedFiles } from './served-files.ts'
import { type Rules, rulesOf } from './static-rules.ts'

/** Static sites: HTML files, served by a real web server. */
export const staticSite: Detector = {
  language: 'Static site',
  looksFor: 'index.html, public/index.html, static.json, Staticfile or .static',
  detect: (source) => markers.find((file) => source.isFile(file)),
  plan: planStatic,
}

const markers = ['static.json', 'Staticfile', '.static', 'index.html', 'public/index.html']

type Settings = Rules & { root: string | undefined; from: string }

function planStatic(source: Source): LanguagePlan {
  const settings = readSettings(source)
  const root = settings.root ?? usualRoot(source)
  const inside = posix.normalize(posix.join('/', root)).slice(1).replace(/\/$/, '')
  if (!source.isDirectory(inside)) throw noDirectory(inside, settings)
  const { tools, env, command } = servedFiles({ root: inside, spa: settings.spa })
  return {
    tools,
    steps: [],
    env: { ...env, ...rulesEnv(settings) },
    warnings: warningsOf(settings),
    web: {
      command,
      from: inside === '' ? 'the files at the top of the repository' : `the files in ${inside}/`,
    },
    howToStart: 'Add a Procfile with: web: your command',
  }
}

/** What static.json or Staticfile says of a site that a build makes. */
export function settingsOfSite(
  source: Source,
): Pick<Settings, 'root' | 'spa'> & Pick<LanguagePlan, 'env' | 'warnings'> {
  const settings = readSettings(source)
  const { root, spa } = settings
  return { root, spa, env: rulesEnv(settings), warnings: warningsOf(settings) }
}

function rulesEnv({ errorPage, lines }: Settings): Record<string, string> {
  return {
    ...(errorPage !== undefined && { STATIC_ERROR_PAGE: errorPage }),
    ...(lines.length > 0 && { STATIC_RULES: lines.join('\n') }),
  }
}

function warningsOf({ unknown, from }: Settings): string[] {
  return unknown.map((key) => `"${printable(key)}" in ${from} is not supported and has no effect`)
}

/** Where generators of sites put what they made, for a tree in which it is committed. */
function usualRoot(source: Source): string {
  const folders = ['', 'public', 'dist', 'build', 'www', '_site', 'docs']
  return folders.find((folder) => source.isFile(posix.join(folder, 'index.html'))) ?? 'public'
}

function noDirectory(inside: string, { root, from }: Settings): Failure {
  const because = root === undefined ? '' : ` (root in ${from})`
  const seen = `there is no directory "${printable(inside)}"${because}`
  return new Failure('failed', `Static site: ${seen}`, {
    hint: 'Put index.html at the top of the repository or in public/, or name its directory as root in static.json',
  })
}

function readSettings(source: Source): Settings {
  const none = {
    root: undefined,
    from: '',
    lines: [],
    errorPage: undefined,
    spa: false,
    unknown: [],
  }
  const content = source.readText('static.json', 65536)
  if (content !== undefined) {
    const json = parseJson('static.json', content)
    const root = member(json, 'root')
    return { ...rulesOf(json), root: root && words(root), from: 'static.json' }
  }
  const file = source.readText('Staticfile', 65536)
  return file === undefined ? none : { ...none, ...parseStaticfile(file) }
}

/** `root: dist` and `pushstate: enabled`, one a line. */
function parseStaticfile(text: string): Pick<Settings, 'root' | 'spa' | 'from' | 'unknown'> {
  type Found = Pick<Settings, 'root' | 'spa' | 'from' | 'unknown'>
  const found: Found = { root: undefined, spa: false, from: 'Staticfile', unknown: [] }
  for (const line of text.split(/\r?\n/).map((raw) => raw.replace(/#.*$/, '').trim())) {
    const [key = '', value = ''] = line.split(/:\s*/, 2)
    if (key === 'root' && value) found.root = value
    else if (key === 'pushstate' && /^(enabled|true)$/.test(value)) found.spa = true
    else if (key !== '' && key !== 'pushstate') found.unknown.push(key)
  }
  return found
}
