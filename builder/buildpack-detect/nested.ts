import { printable } from '../../core/names.ts'
import type { Source } from '../source/source.ts'
import { inFolder } from './app-dir.ts'
import { parseFolder } from './paas-toml.ts'
import type { Detector } from './plan.ts'

/** What looks like an app below the top of a tree, and the folder it is in. */
type Nested = { folder: string; file: string; language: string }

const foldersMost = 50
const depthMost = 2
const namedMost = 5

/**
 * What to do about a tree that has nothing to build at its top and something in a folder, or
 * undefined. The commonest cause by far: the app is in a folder of the repository.
 */
export function adviseNested(source: Source, detectors: Detector[]): string | undefined {
  const found = findNested(source, detectors)
  const [first] = found
  if (!first) return undefined
  const { folder } = first
  return [
    ...found.slice(0, namedMost).map((one) => `${place(one)} looks like ${one.language}`),
    `${found.length > 1 ? 'Name the one to build' : 'Name its folder'} in paas.toml at the top of the repository: app_dir = "${folder}"`,
    `Or without a change of the code: git:set <app> app-dir ${folder}`,
  ].join('\n')
}

function place({ folder, file }: Nested): string {
  return `${printable(`${folder}/${file}`)}, ${folder.includes('/') ? 'two folders' : 'one folder'} down,`
}

/** Those of the highest folders that have any: what lies deeper is often a part or an example. */
function findNested(source: Source, detectors: Detector[]): Nested[] {
  let folders = ['']
  for (let depth = 1; depth <= depthMost; depth += 1) {
    folders = folders.flatMap((folder) => foldersIn(source, folder)).slice(0, foldersMost)
    const found = folders.flatMap((folder) => looksLike(source, folder, detectors))
    if (found.length > 0) return found
  }
  return []
}

/** Without those that no `app_dir` could name, and those of tools. */
function foldersIn(source: Source, folder: string): string[] {
  const names = source.list(folder).filter((name) => name.endsWith('/'))
  return names
    .filter((name) => !/^(\.|node_modules\/|vendor\/)/.test(name))
    .map((name) => (folder === '' ? '' : `${folder}/`) + name.slice(0, -1))
    .filter((path) => parseFolder(path) === path)
}

function looksLike(source: Source, folder: string, detectors: Detector[]): Nested[] {
  const within = inFolder(source, folder)
  if (within.isFile('Dockerfile')) {
    return [{ folder, file: 'Dockerfile', language: 'something to build with it' }]
  }
  for (const { detect, language } of detectors) {
    const file = detect(within)
    if (file !== undefined) return [{ folder, file, language }]
  }
  return []
}
