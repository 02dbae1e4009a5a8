import { posix } from 'node:path'
import type { Source } from '../source/source.ts'

/** A program of a Go tree: what it is called when built, and its folder, empty for the root. */
export type Main = { name: string; folder: string }

const depthMost = 6
const foldersMost = 5000

/**
 * The folders with `package main` in the modules that are built: that of go.mod, or those that
 * go.work uses. Without either the root alone. Sorted by folder.
 */
export function findMains(source: Source): Main[] {
  const modules = modulesOf(source)
  const mains: Main[] = []
  const waiting = modules.map((module) => ({ folder: module.folder, depth: 0, module }))
  for (let next = waiting.shift(), seen = 0; next && seen < foldersMost; seen += 1) {
    const { folder, depth, module } = next
    const entries = source.list(folder)
    if (isMain(source, folder, entries)) {
      const name = folder === module.folder ? module.program : posix.basename(folder)
      mains.push({ name, folder })
    }
    for (const entry of entries.filter(mayHavePackages)) {
      const below = posix.join(folder, entry).replace(/\/$/, '')
      const isOther = source.isFile(`${below}/go.mod`)
      if (module.hasFolders && !isOther && depth < depthMost) {
        waiting.push({ folder: below, depth: depth + 1, module })
      }
    }
    next = waiting.shift()
  }
  return mains.sort((a, b) => (a.folder < b.folder ? -1 : 1))
}

type Module = {
  folder: string
  /** What `go build` calls the program of its own folder. */
  program: string
  /** Whether the packages of its folders can be built: without go.mod nothing names them. */
  hasFolders: boolean
}

function modulesOf(source: Source): Module[] {
  const work = source.readText('go.work', 1024 * 1024)
  const folders = work === undefined ? [''] : usedBy(work)
  return folders.map((folder) => {
    const text = source.readText(posix.join(folder, 'go.mod'), 1024 * 1024)
    const path = /^\s*module\s+"?([^\s"]+)/m.exec(text ?? '')?.[1] ?? 'app'
    return { folder, program: programOf(path), hasFolders: text !== undefined }
  })
}

/** The folders of `use ./a` and `use ( ./a ./b )`, without those outside the tree. */
function usedBy(work: string): string[] {
  const plain = work.replace(/\/\/.*$/gm, '')
  const uses = plain.matchAll(/^\s*use\s+(?:\(([^)]*)\)|(\S+))/gm)
  const folders = [...uses].flatMap(([, many, one]) => (many ?? one ?? '').split(/\s+/))
  const normal = folders
    .filter(Boolean)
    .map((folder) => posix.normalize(folder.replace(/^"|"$/g, '')).replace(/^\.\/?$|\/$/, ''))
  return [...new Set(normal)].filter((folder) => !/^(\.\.|\/)/.test(folder))
}

/** `example.com/shop/v2` makes a program `shop`. */
function programOf(modulePath: string): string {
  const parts = modulePath.split('/')
  const last = parts.at(-1) ?? 'app'
  return /^v\d+$/.test(last) && parts.length > 1 ? (parts.at(-2) ?? last) : last
}

/** What the go command leaves out of `./...`, and what is never Go. */
function mayHavePackages(entry: string): boolean {
  return entry.endsWith('/') && !/^([._]|testdata\/|vendor\/|node_modules\/)/.test(entry)
}

/** All files of a folder are of one package, but for those that are never built. */
function isMain(source: Source, folder: string, entries: string[]): boolean {
  const files = entries.filter((name) => name.endsWith('.go') && !/_test\.go$|^[._]/.test(name))
  for (const file of files) {
    const text = source.readText(posix.join(folder, file))
    if (text === undefined || /^\/\/(go:build|\s*\+build)\s+ignore\s*$/m.test(text)) continue
    const code = text.replace(/\/\*[^]*?\*\//g, '')
    return /^\s*package\s+(\w+)/m.exec(code)?.[1] === 'main'
  }
  return false
}
