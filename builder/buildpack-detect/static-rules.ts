import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'
import { type Json, member, members, within, words, wrong } from '../json-document.ts'

/** What static.json asks of the web server beyond a directory. */
export type Rules = {
  /** In the words of Caddy's configuration. */
  lines: string[]
  /** The page of what is not there, below the root. */
  errorPage: string | undefined
  /** Whether every address that has no file is index.html's. */
  spa: boolean
  /** What is asked for and not done. */
  unknown: string[]
}

/** Reads `routes`, `redirects`, `headers` and `error_page`. Pure. Failure: one is malformed. */
export function rulesOf(json: Json): Rules {
  const found: Rules = { lines: [], errorPage: undefined, spa: false, unknown: [] }
  for (const [key, entry] of members(json)) {
    if (key === 'routes') addRoutes(entry, found)
    else if (key === 'redirects') addRedirects(entry, found)
    else if (key === 'headers') addHeaders(entry, found)
    else if (key === 'error_page') found.errorPage = pagePath(entry)
    else if (key !== 'root' && key !== 'clean_urls') found.unknown.push(key)
  }
  return found
}

/** `{"/**": "index.html"}`: what answers where there is no file. */
function addRoutes(routes: Json, found: Rules): void {
  for (const [glob, target] of members(routes)) {
    const page = pagePath(target)
    if (/^\/\*{1,2}$/.test(glob) && page === '/index.html') {
      found.spa = true
      continue
    }
    const name = `@route${found.lines.length}`
    found.lines.push(
      `${name} {`,
      `path ${pathOf(target, glob)}`,
      'not file {path} {path}/index.html {path}.html',
      '}',
      `rewrite ${name} ${page}`,
    )
  }
}

/** `{"/old": {"url": "/new", "status": 302}}`; 301 where no status is given. */
function addRedirects(redirects: Json, found: Rules): void {
  for (const [glob, redirect] of members(redirects)) {
    const url = typeof redirect.value === 'string' ? redirect : member(redirect, 'url')
    if (!url) throw wrong(redirect, 'a url, or an object with one')
    const status = typeof redirect.value === 'string' ? undefined : member(redirect, 'status')
    const code = status ? within(status, 300, 399, true) : 301
    found.lines.push(`redir ${pathOf(redirect, glob)} ${quoted(url)} ${code}`)
  }
}

/** `{"/**": {"Cache-Control": "no-store"}}` */
function addHeaders(headers: Json, found: Rules): void {
  for (const [glob, fields] of members(headers)) {
    const path = pathOf(fields, glob)
    for (const [name, value] of members(fields)) {
      if (!/^[A-Za-z0-9-]+$/.test(name)) throw wrong(value, 'the name of a header before it')
      found.lines.push(`header ${path} ${name} ${quoted(value)}`)
    }
  }
}

function pagePath(json: Json): string {
  const path = `/${words(json).replace(/^\/+/, '')}`
  if (/^[\w./@+-]+$/.test(path) && !path.split('/').includes('..')) return path
  throw wrong(json, 'the path of a page, such as index.html')
}

/** `/**` and `/*` are the same to the server: all below. */
function pathOf(json: Json, glob: string): string {
  if (/^\/[\w./@+*~%-]*$/.test(glob)) return glob.replaceAll('**', '*')
  throw new Failure('failed', `"${printable(glob)}" in ${json.file} is not the path of a rule`, {
    hint: 'Paths begin with "/" and may have "*", such as "/assets/**"; expressions are not known',
  })
}

/** As it stands: no end of the quotes, and no braces that the server would fill in. */
function quoted(json: Json): string {
  const value = words(json)
  if (/[`\x00-\x1f\x7f]/.test(value)) throw wrong(json, 'text of one line without "`"')
  return `\`${value.replace(/[{}]/g, '\\$&')}\``
}
