import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, readFile, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import semver from 'semver'
import { Failure } from '../../core/errors.ts'
import { exec } from '../../core/exec.ts'
import { paths } from '../../core/names.ts'
import { makeFile, replaceFile } from '../../core/whole-file.ts'
import type { ToolRequest } from '../buildpack-detect/plan.ts'
import type { RuntimeContext } from './runtime.ts'
import {
  type Choice,
  type ChoiceRules,
  chooseVersion,
  noVersion,
  publishedVersions,
} from './versions.ts'

/** An npm package that a tool comes in, and which of its versions are the tool's. */
export type NpmSource = { package: string; offers: (version: string) => boolean }

export type NpmChoice = {
  /** For people: `pnpm`. */
  name: string
  sources: NpmSource[]
  isStable?: ChoiceRules['isStable']
  /** Whether the newest is taken, and not the newest stable one, when nobody asks. */
  preferNewest?: boolean
}

/**
 * Chooses among the published versions of a tool. A pin with a hash (`9.1.0+sha512.…`) makes a
 * version with that hash. Failure: no version satisfies the request.
 */
export async function chooseFromNpm(
  request: ToolRequest,
  what: NpmChoice,
  context: RuntimeContext,
): Promise<Choice> {
  const { name, sources, isStable = () => true, preferNewest } = what
  const chosenFrom = async (fresh: boolean) => {
    const available: string[] = []
    for (const source of sources) {
      const { config, say, signal } = context
      const published = await publishedVersions(config, source.package, { say, signal, fresh })
      available.push(...published.filter((version) => isRelease(version) && source.offers(version)))
    }
    const newest = semver.sort([...available]).at(-1)
    const preferred = preferNewest && newest ? { version: newest, why: 'the newest' } : undefined
    const rules = { available, isStable, ...(preferred && { preferred }) }
    return { available, choice: chooseVersion(request, rules) }
  }
  const { choice } = await chosenFrom(false)
  if (choice) return withHash(choice, request)
  // It may have been published since the list was read.
  const { available, choice: second } = await chosenFrom(true)
  if (second) return withHash(second, request)
  throw noVersion(name, request, available)
}

function isRelease(version: string): boolean {
  return semver.prerelease(version) === null
}

function withHash(choice: Choice, { pin }: ToolRequest): Choice {
  const hash = /^[^+]+(\+sha\d+\.[0-9a-f]+)$/.exec(pin?.text ?? '')?.[1]
  if (!hash || pin?.range !== choice.version) return choice
  return { ...choice, version: choice.version + hash, why: `${pin.from}, with its hash` }
}

/** `9.1.0+sha512.abc…` as its parts. */
export function hashOf(version: string): { plain: string; hash: Hash | undefined } {
  const [plain = version, build = ''] = version.split('+')
  const [algorithm = '', hex = ''] = build.split('.')
  return { plain, hash: hex === '' ? undefined : { algorithm, hex } }
}

export type Hash = { algorithm: string; hex: string }

/** Failure: the file is not what the hash in a version file says. */
export async function checkHash(file: string, { algorithm, hex }: Hash, what: string) {
  const seen = createHash(algorithm)
  await pipeline(createReadStream(file), seen)
  const found = seen.digest('hex')
  if (found === hex) return
  throw new Failure('failed', `${what} does not have the ${algorithm} hash that it should have`, {
    hint: `packageManager in package.json says ${hex.slice(0, 16)}…; it is ${found.slice(0, 16)}…`,
  })
}

const packTimeoutMs = 5 * 60_000

/**
 * Unpacks a package into a directory that it makes. `npm pack` checks the package against the
 * registry's hash before it writes it; `hash` is one more, of the packed file.
 */
export async function unpack(
  spec: string,
  into: string,
  { config, signal }: RuntimeContext,
  hash?: Hash,
): Promise<void> {
  const packed = `${into}.pack`
  await mkdir(packed, { recursive: true })
  await mkdir(into, { recursive: true })
  const options = { cwd: packed, signal, timeoutMs: packTimeoutMs }
  const { stdout } = await exec('npm', ['pack', '--json', '--', spec], options)
  const file = join(packed, packedName(stdout))
  if (hash) await checkHash(file, hash, spec)
  await checkPinned(paths(config).versions(`hashes/${basename(file)}`), file)
  const asRoot = ['--strip-components=1', '--no-same-owner', '--no-same-permissions']
  await exec('tar', ['--extract', '--gzip', `--file=${file}`, ...asRoot], { ...options, cwd: into })
  await rm(packed, { recursive: true })
}

/**
 * A version that this host has had before must be the same file again: whoever publishes another
 * one under its name, or stands between, is refused.
 */
async function checkPinned(known: string, file: string): Promise<void> {
  const seen = createHash('sha512')
  await pipeline(createReadStream(file), seen)
  const hex = seen.digest('hex')
  const pin = JSON.stringify({ sha512: hex })
  await makeFile(known, pin)
  const there = await readFile(known, 'utf8')
  if (there.includes(hex)) return
  if (there === '') return replaceFile(known, pin) // an older paas had no room for it
  throw new Failure('failed', `${basename(file)} is not the file that this server got before`, {
    hint: `A published version never changes. If it is meant to be another: remove ${known}`,
  })
}

/** npm 11 prints a list, newer ones an object by name; the file name is all that is wanted. */
function packedName(json: string): string {
  const name = /"filename":\s*"([A-Za-z0-9._-]+\.tgz)"/.exec(json)?.[1]
  if (!name) throw new Error(`npm pack did not name its file: ${json.slice(0, 200)}`)
  return name
}
