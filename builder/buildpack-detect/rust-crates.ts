import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'
import type { Source } from '../source/source.ts'
import { isTable, readToml, table, type Table } from './toml.ts'

export type Crates = {
  /** Names of the programs that `cargo build` makes at the root, sorted. */
  programs: string[]
  /** The one that `cargo run` would start. */
  preferred: string | undefined
  /** Names of the crates that they ask for. */
  dependencies: Set<string>
}

/**
 * The programs of a Cargo.toml: those of its package, or of the members of its workspace. Failure:
 * there is none, or a name that is none.
 */
export function readCrates(source: Source, manifest: Table): Crates {
  const isPackage = isTable(manifest.package)
  if (!isPackage && !isTable(manifest.workspace)) {
    throw new Failure('failed', 'Cargo.toml has neither [package] nor [workspace]', {
      hint: 'Mend Cargo.toml, commit and push again',
    })
  }
  const folders = isPackage ? [''] : membersOf(source, table(manifest, 'workspace'))
  const found = folders.map((folder) => {
    const own = folder === '' ? manifest : readToml(source, `${folder}Cargo.toml`)
    return { own, programs: programsOf(source, folder, own) }
  })
  const programs = [...new Set(found.flatMap((one) => one.programs))].sort()
  const wrong = programs.find((name) => !/^[A-Za-z0-9_][\w.-]*$/.test(name))
  if (wrong !== undefined) {
    throw new Failure('failed', `Cargo.toml names a program "${printable(wrong)}"`)
  }
  if (programs.length === 0) throw noProgram(isPackage)
  const preferred = found.map(({ own }) => table(own, 'package')['default-run'])
  return {
    programs,
    preferred: preferred
      .find((name) => typeof name === 'string' && programs.includes(name))
      ?.toString(),
    dependencies: new Set(found.flatMap(({ own }) => Object.keys(table(own, 'dependencies')))),
  }
}

/** Folders with a trailing slash. Cargo's patterns are of one level: `crates/*`. */
function membersOf(source: Source, workspace: Table): string[] {
  const wanted = texts(workspace['default-members']) ?? texts(workspace.members) ?? []
  const excluded = texts(workspace.exclude) ?? []
  const folders = wanted.slice(0, 200).flatMap((pattern) => {
    const clean = pattern.replace(/^\.\//, '').replace(/\/$/, '')
    if (!clean.includes('*')) return [`${clean}/`]
    const parent = clean.slice(0, clean.lastIndexOf('/') + 1)
    const last = clean.slice(parent.length).split('*').map(escape).join('[^/]*')
    const fits = new RegExp(`^${last}/$`)
    return source
      .list(parent)
      .filter((name) => fits.test(name))
      .map((name) => parent + name)
  })
  return [...new Set(folders)].filter(
    (folder) => source.isFile(`${folder}Cargo.toml`) && !excluded.includes(folder.slice(0, -1)),
  )
}

function programsOf(source: Source, folder: string, manifest: Table): string[] {
  const own = table(manifest, 'package')
  if (typeof own.name !== 'string') return []
  const named = Array.isArray(manifest.bin) ? manifest.bin.filter(isTable) : []
  const listed = named.flatMap(({ name }) => (typeof name === 'string' ? [name] : []))
  if (own.autobins === false) return listed
  const paths = new Set(named.map(({ path }) => path))
  const main = source.isFile(`${folder}src/main.rs`) && !paths.has('src/main.rs')
  const others = source.list(`${folder}src/bin`).flatMap((name) => {
    if (paths.has(`src/bin/${name}`)) return []
    if (name.endsWith('.rs')) return [name.slice(0, -3)]
    const isProgram = source.isFile(`${folder}src/bin/${name}main.rs`)
    return name.endsWith('/') && isProgram ? [name.slice(0, -1)] : []
  })
  return [...listed, ...(main ? [own.name] : []), ...others]
}

function noProgram(isPackage: boolean): Failure {
  const where = isPackage ? 'This crate' : 'No member of this workspace'
  const seen = isPackage ? 'is a library: there is no program' : 'has a program'
  return new Failure('failed', `Rust detected, but nothing to start: ${where} ${seen}`, {
    hint: 'Add src/main.rs, or a [[bin]] to Cargo.toml',
  })
}

function texts(value: unknown): string[] | undefined {
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : undefined
}

function escape(text: string): string {
  return text.replace(/[.+?^${}()|[\]\\]/g, '\\$&')
}
