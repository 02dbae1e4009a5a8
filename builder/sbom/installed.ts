import { basename } from 'node:path'
import { parse as parseToml } from 'smol-toml'
import { type Component, library } from './component.ts'

/**
 * What package managers leave behind of what they installed, or the lockfile where they leave
 * nothing: one line a manager. Pure; a text of another shape gives nothing.
 */
export const traces: { path: RegExp; read: (text: string, path: string) => Component[] }[] = [
  { path: /(^|\/)node_modules\/(@[^/]+\/)?[^/]+\/package\.json$/, read: fromPackageJson },
  { path: /(^|\/)\.pnp\.cjs$/, read: fromPlugAndPlay },
  { path: /(^|\/)deno\.lock$/, read: fromDenoLock },
  { path: /\.dist-info\/METADATA$/, read: fromDistInfo },
  { path: /(^|\/)specifications\/[^/]+\.gemspec$/, read: fromGemspec },
  { path: /(^|\/)vendor\/composer\/installed\.json$/, read: fromComposer },
  { path: /\.deps\.json$/, read: fromDotnet },
  { path: /(^|\/)Cargo\.lock$/, read: fromCargoLock },
  { path: /(^|\/)go\.mod$/, read: fromGoMod },
  { path: /(^|\/)mix\.lock$/, read: fromMixLock },
  { path: /(^|\/)gradle\.lockfile$/, read: fromGradleLock },
]

function fromPackageJson(text: string): Component[] {
  const { name, version } = object(json(text))
  return isText(name) && isText(version) ? [library('npm', name, version)] : []
}

/** `["ms", [` opens a package, `["npm:2.1.3", {` or `["virtual:…#npm:2.1.3", {` a version of it. */
function fromPlugAndPlay(text: string): Component[] {
  const found: Component[] = []
  let name: string | undefined
  for (const line of text.split('\n')) {
    name = /^\s*\["([^"]+)", \[\\?$/.exec(line)?.[1] ?? name
    const [, version] = /^\s*\["(?:virtual:\w+#)?npm:(\d[^"]*)", \{\\?$/.exec(line) ?? []
    if (name !== undefined && version !== undefined) found.push(library('npm', name, version))
  }
  return found
}

/** Keys such as `ms@2.1.3` and `@a/b@1.0.0_peer@2.0.0`, at the top since the fourth version. */
function fromDenoLock(text: string): Component[] {
  const document = object(json(text))
  return [document, object(document.packages)].flatMap((lock) => {
    return ['npm', 'jsr'].flatMap((kind) => {
      return Object.keys(object(lock[kind])).flatMap((key) => {
        const [, name, version] = /^(@?[^@]+)@(\d[^_]*)/.exec(key) ?? []
        return name && version ? [library(kind, name, version)] : []
      })
    })
  })
}

function fromDistInfo(text: string): Component[] {
  const head = text.split(/\r?\n\r?\n/, 1)[0] ?? ''
  const [, name] = /^Name: *(\S+)/m.exec(head) ?? []
  const [, version] = /^Version: *(\S+)/m.exec(head) ?? []
  if (!name || !version) return []
  return [library('pypi', name.toLowerCase().replaceAll('_', '-'), version)]
}

function fromGemspec(_text: string, path: string): Component[] {
  const [, name, version] = /^(.+?)-(\d[^-]*)(-.+)?\.gemspec$/.exec(basename(path)) ?? []
  return name && version ? [library('gem', name, version)] : []
}

function fromComposer(text: string): Component[] {
  const document = json(text)
  const list = Array.isArray(document) ? document : object(document).packages
  return (Array.isArray(list) ? list : []).flatMap((one: unknown) => {
    const { name, version } = object(one)
    if (!isText(name) || !isText(version)) return []
    return [library('composer', name, version.replace(/^v/, ''))]
  })
}

function fromDotnet(text: string): Component[] {
  return Object.entries(object(object(json(text)).libraries)).flatMap(([key, value]) => {
    const [name, version] = key.split('/')
    if (object(value).type !== 'package' || !name || !version) return []
    return [library('nuget', name, version)]
  })
}

function fromCargoLock(text: string): Component[] {
  const list = toml(text).package
  return (Array.isArray(list) ? list : []).flatMap((one: unknown) => {
    const { name, version, source } = object(one)
    // Without a source it is the app's own code.
    if (!isText(name) || !isText(version) || !isText(source)) return []
    return [library('cargo', name, version)]
  })
}

function fromGoMod(text: string): Component[] {
  const lines = [...text.matchAll(/^(?:require )?\s*([\w.~/-]+\.[\w.~/-]+) (v[\w.+-]+)/gm)]
  return lines.map(([, name = '', version = '']) => library('golang', name, version))
}

function fromMixLock(text: string): Component[] {
  const lines = [...text.matchAll(/\{:hex, :"?([\w.]+)"?, "([^"]+)"/g)]
  return lines.map(([, name = '', version = '']) => library('hex', name, version))
}

function fromGradleLock(text: string): Component[] {
  const lines = [...text.matchAll(/^([\w.-]+):([\w.-]+):([^=\s:]+)=/gm)]
  return lines.map(([, group, name, version = '']) => library('maven', `${group}/${name}`, version))
}

function json(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function toml(text: string): Record<string, unknown> {
  try {
    return parseToml(text)
  } catch {
    return {}
  }
}

function object(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= 500
}
