import { posix } from 'node:path'
import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'
import type { Source } from '../source.ts'
import type { Detector, LanguagePlan } from './plan.ts'
import { servedFiles } from './served-files.ts'

/** Static sites: HTML files, served by a real web server. */
export const staticSite: Detector = {
  language: 'Static site',
  looksFor: 'index.html, public/index.html, static.json, Staticfile or .static',
  detect: (source) => markers.find((file) => source.isFile(file)),
  plan: planStatic,
}

const markers = ['static.json', 'Staticfile', '.static', 'index.html', 'public/index.html']

type Settings = { root: string | undefined; spa: boolean; from: string; unknown: string[] }

function planStatic(source: Source): LanguagePlan {
  const settings = readSettings(source)
  const root = settings?.root ?? (source.isFile('index.html') ? '' : 'public')
  const inside = posix.normalize(posix.join('/', root)).slice(1).replace(/\/$/, '')
  if (!source.isDirectory(inside)) {
    const from = settings?.root === undefined ? '' : ` (root in ${settings.from})`
    const asked = printable(inside)
    throw new Failure('failed', `Static site: there is no directory "${asked}"${from}`, {
      hint: 'Put index.html at the top of the repository or in public/, or name its directory as root in static.json',
    })
  }
  const warnings = (settings?.unknown ?? []).map(
    (key) => `"${printable(key)}" in ${settings?.from} is not supported and has no effect`,
  )
  const { tools, env, command } = servedFiles({ root: inside, spa: settings?.spa ?? false })
  return {
    tools,
    steps: [],
    env,
    warnings,
    web: {
      command,
      from: inside === '' ? 'the files at the top of the repository' : `the files in ${inside}/`,
    },
    howToStart: 'Add a Procfile with: web: your command',
  }
}

function readSettings(source: Source): Settings | undefined {
  const json = source.readText('static.json', 65536)
  if (json !== undefined) return parseStaticJson(json)
  const file = source.readText('Staticfile', 65536)
  return file === undefined ? undefined : parseStaticfile(file)
}

/** `{"root": "dist", "routes": {"/**": "index.html"}}`; clean URLs are always on. */
function parseStaticJson(text: string): Settings {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    const seen = cause instanceof Error ? cause.message.replace(/[\x00-\x1f\x7f]+/g, ' ') : ''
    throw new Failure('failed', `static.json is not valid JSON: ${seen}`, { cause })
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Failure('failed', 'static.json does not hold an object')
  }
  const settings: Settings = { root: undefined, spa: false, from: 'static.json', unknown: [] }
  for (const [key, entry] of Object.entries(value)) {
    if (key === 'root' && typeof entry === 'string') settings.root = entry
    else if (key === 'routes' && isFallback(entry)) settings.spa = true
    else if (key !== 'clean_urls') settings.unknown.push(key)
  }
  return settings
}

function isFallback(routes: unknown): boolean {
  return JSON.stringify(routes)?.replace('"/index.html"', '"index.html"') === '{"/**":"index.html"}'
}

/** `root: dist` and `pushstate: enabled`, one a line. */
function parseStaticfile(text: string): Settings {
  const settings: Settings = { root: undefined, spa: false, from: 'Staticfile', unknown: [] }
  for (const line of text.split(/\r?\n/).map((raw) => raw.replace(/#.*$/, '').trim())) {
    const [key = '', value = ''] = line.split(/:\s*/, 2)
    if (key === 'root' && value) settings.root = value
    else if (key === 'pushstate' && /^(enabled|true)$/.test(value)) settings.spa = true
    else if (key !== '' && key !== 'pushstate') settings.unknown.push(key)
  }
  return settings
}
