import type { Source } from '../source/source.ts'
import { parseJson } from '../json-document.ts'
import { isTable, table } from './toml.ts'

/** Where Angular's build writes: the files for browsers, and a server where it makes one. */
export function angularSite(source: Source): { root: string; server?: string } | undefined {
  const text = source.readText('angular.json', 1024 * 1024)
  if (text === undefined) return undefined
  const document = parseJson('angular.json', text).value
  if (!isTable(document)) return undefined
  const projects = table(document, 'projects')
  const wanted = typeof document.defaultProject === 'string' ? document.defaultProject : undefined
  const name = wanted ?? Object.keys(projects).find((one) => hasBuild(projects, one))
  if (name === undefined) return undefined
  const build = table(table(table(projects, name), 'architect'), 'build')
  const options = table(build, 'options')
  const output = options.outputPath
  const base = isTable(output) ? output.base : output
  const folder = typeof base === 'string' ? base.replace(/\/$/, '') : `dist/${name}`
  const byApplication = String(build.builder).endsWith(':application')
  if (!byApplication) return { root: folder }
  const browser = isTable(output) && typeof output.browser === 'string' ? output.browser : 'browser'
  const root = browser === '' ? folder : `${folder}/${browser}`
  const serves = options.outputMode === 'server' || isTable(options.ssr) || options.ssr === true
  return serves && options.outputMode !== 'static'
    ? { root, server: `node ${folder}/server/server.mjs` }
    : { root }
}

function hasBuild(projects: Record<string, unknown>, name: string): boolean {
  return Object.keys(table(table(table(projects, name), 'architect'), 'build')).length > 0
}
