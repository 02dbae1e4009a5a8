import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'
import { architecture } from '../image/oci.ts'

/**
 * What paas itself wants to know of a Dockerfile: which images it is made from, so that they can be
 * brought, and which port is its first. Pure; the build itself is somebody else's.
 */
export type Dockerfile = {
  name: string
  /** `ARG`s before the first FROM in their order, with their defaults. */
  args: Arg[]
  stages: Stage[]
}

type Arg = [key: string, value: string | undefined]

type Stage = {
  line: number
  name: string | undefined
  base: string
  /** Stages and images that files are taken from. */
  from: string[]
  ports: string[]
  /** What SHELL says last. */
  shell: string[] | undefined
  shells: Shells
}

/** By which shell the words run; undefined where they are a list, or run by the usual one. */
export type Shells = { entrypoint?: string[]; cmd?: string[] }

/** Throws a Failure with the line of what no build could read. */
export function parseDockerfile(name: string, text: string): Dockerfile {
  const found: Dockerfile = { name, args: [], stages: [] }
  for (const { line, word, rest } of instructions(text)) {
    const stage = found.stages.at(-1)
    if (!known.has(word)) throw wrong(name, line, `"${printable(word)}" is no instruction`)
    if (rest === '') throw wrong(name, line, `${word} says nothing`)
    if (word === 'FROM') found.stages.push(readFrom(name, line, rest))
    else if (word === 'ARG' && !stage) found.args.push(...readArgs(rest))
    else if (!stage) throw wrong(name, line, `${word} comes before the first FROM`)
    if (!stage) continue
    if (word === 'EXPOSE') stage.ports.push(...rest.split(/\s+/))
    if (word === 'SHELL') stage.shell = readWords(rest)
    if (word === 'CMD' || word === 'ENTRYPOINT') {
      const shell = readWords(rest) === undefined ? stage.shell : undefined
      stage.shells = { ...stage.shells, [word.toLowerCase()]: shell }
    }
    for (const [, from = ''] of rest.matchAll(fromFlag)) {
      if (['COPY', 'ADD', 'RUN'].includes(word)) stage.from.push(from)
    }
  }
  if (found.stages.length > 0) return found
  throw new Failure('failed', `${name} has no FROM, which names the image to build upon`)
}

/** An image as the file has it, and with the values of the arguments in it. */
export type NamedImage = { written: string; name: string }

/** The images from elsewhere that the build of a target needs, each once. */
export function imagesOf(file: Dockerfile, options: Options): NamedImage[] {
  const images = new Map<string, NamedImage>()
  const waiting = [targetOf(file, options.target)]
  const seen = new Set<number>()
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    const stage = file.stages[at]
    if (!stage || seen.has(at)) continue
    seen.add(at)
    const base = { written: stage.base, name: nameOf(file, stage, options.args) }
    for (const image of [base, ...stage.from.map((name) => ({ written: name, name }))]) {
      const other = stageNamed(file, image.name, at)
      if (other !== undefined) waiting.push(other)
      else if (image.name !== 'scratch') images.set(image.written, image)
    }
  }
  return [...images.values()]
}

/** The first port that the target's own stage names; undefined when none is written as a number. */
export function firstPort(file: Dockerfile, target: string | undefined): number | undefined {
  const ports = file.stages[targetOf(file, target)]?.ports ?? []
  const first = ports.find((port) => !/\/(udp|sctp)$/i.test(port)) ?? ''
  const [, digits] = /^(\d{1,5})(?:\/tcp)?$/i.exec(first) ?? []
  return digits !== undefined && Number(digits) <= 65_535 ? Number(digits) : undefined
}

/** Those of the target's own stage. */
export function shellsOf(file: Dockerfile, target: string | undefined): Shells {
  return file.stages[targetOf(file, target)]?.shells ?? {}
}

/** The words of a list in JSON; undefined for what is none. */
function readWords(rest: string): string[] | undefined {
  try {
    const value: unknown = JSON.parse(rest)
    return Array.isArray(value) && value.every((one) => typeof one === 'string') ? value : undefined
  } catch {
    return undefined
  }
}

type Options = { target: string | undefined; args: Record<string, string> }

const known = new Set([
  ...['ADD', 'ARG', 'CMD', 'COPY', 'ENTRYPOINT', 'ENV', 'EXPOSE', 'FROM', 'HEALTHCHECK', 'LABEL'],
  ...['MAINTAINER', 'ONBUILD', 'RUN', 'SHELL', 'STOPSIGNAL', 'USER', 'VOLUME', 'WORKDIR'],
])

const fromFlag = /(?:^|\s)--(?:from=|mount=(?:\S*,)?from=)([^\s,]+)/g
const heredoc = /<<-?\s*(["']?)([A-Za-z_]\w*)\1/g

/** Lines put together where they go on, without comments and the texts of heredocs. */
function* instructions(text: string) {
  const lines = text.replace(/^\uFEFF/, '').split(/\r?\n/)
  const escape = /^\s*#\s*escape\s*=\s*`/im.test(lines.slice(0, 5).join('\n')) ? '`' : '\\'
  for (let at = 0; at < lines.length; at++) {
    const line = at + 1
    let whole = ''
    for (; at < lines.length; at++) {
      const one = (lines[at] ?? '').trim()
      if (one.startsWith('#') || (one === '' && whole !== '')) continue
      whole += `${one.endsWith(escape) ? one.slice(0, -1) : one} `
      if (!one.endsWith(escape)) break
    }
    const [, word = '', rest = ''] = /^(\S+)\s*([\s\S]*?)\s*$/.exec(whole.trim()) ?? []
    if (word === '') continue
    yield { line, word: word.toUpperCase(), rest }
    if (!/^(RUN|COPY|ADD)$/i.test(word)) continue
    for (const [, , end = ''] of rest.matchAll(heredoc)) {
      const found = lines.findIndex((one, index) => index > at && one.trim() === end)
      if (found > at) at = found
    }
  }
}

function readFrom(name: string, line: number, rest: string): Stage {
  const words = rest.split(/\s+/).filter((word) => !word.startsWith('--'))
  const [base = '', as, stage] = words
  const named = as?.toUpperCase() === 'AS' && stage !== undefined
  if (words.length !== (named ? 3 : 1)) {
    throw wrong(name, line, 'FROM takes the name of an image, and perhaps AS and a name')
  }
  const nothing = { from: [], ports: [], shell: undefined, shells: {} }
  return { line, name: stage?.toLowerCase(), base, ...nothing }
}

function readArgs(rest: string): Arg[] {
  const pairs = rest.split(/\s+(?=[A-Za-z_]\w*(?:=|\s|$))/)
  return pairs.map((pair) => {
    const [, key = pair, value] = /^(\w+)=(.*)$/.exec(pair) ?? []
    return [key, value?.replace(/^(["'])(.*)\1$/, '$2')]
  })
}

function targetOf({ name, stages }: Dockerfile, target: string | undefined): number {
  if (target === undefined) return stages.length - 1
  const at = stages.findIndex((stage) => stage.name === target.toLowerCase())
  if (at >= 0) return at
  const names = stages.flatMap((stage) => stage.name ?? []).join(', ')
  throw new Failure('failed', `${name} has no stage "${printable(target)}"`, {
    hint: names ? `It has: ${names}` : 'It names no stage: FROM image AS name',
  })
}

/** A stage is known to those after it by its name or its number. */
function stageNamed({ stages }: Dockerfile, from: string, before: number): number | undefined {
  const number = /^\d+$/.test(from) ? Number(from) : -1
  if (number >= 0 && number < before) return number
  const at = stages.findIndex((one, index) => index < before && one.name === from.toLowerCase())
  return at >= 0 ? at : undefined
}

/** The name in a FROM with the values of the arguments in it. */
function nameOf(file: Dockerfile, stage: Stage, given: Record<string, string>): string {
  return expand(stage.base, valuesOf(file, given), (key) => {
    throw new Failure('failed', `${file.name} line ${stage.line}: ${key} has no value`, {
      hint: `Give it one: ARG ${key}=… before the first FROM, or [docker.args] in paas.toml`,
    })
  })
}

/** A default may have in it what is declared before it; what has no value is nothing there. */
function valuesOf({ args }: Dockerfile, given: Record<string, string>): Values {
  const platform = `linux/${architecture()}`
  const own = { TARGETOS: 'linux', TARGETARCH: architecture(), TARGETPLATFORM: platform }
  const values: Values = new Map(Object.entries({ ...own, BUILDPLATFORM: platform }))
  for (const [key, text] of args) {
    const value = given[key] ?? (text === undefined ? undefined : expand(text, values, () => ''))
    if (value !== undefined) values.set(key, value)
  }
  return values
}

type Values = Map<string, string>

/** Of what such texts may have in them, as those who build take it. */
function expand(text: string, values: Values, otherwise: (key: string) => string): string {
  return text.replace(
    /\$(?:(\w+)|\{(\w+)(?::?-([^}]*))?\})/g,
    (_, bare: string | undefined, braced: string | undefined, fallback: string | undefined) => {
      const key = bare ?? braced ?? ''
      return values.get(key) || fallback || otherwise(key)
    },
  )
}

function wrong(name: string, line: number, seen: string): Failure {
  return new Failure('failed', `${name} line ${line}: ${seen}`, {
    hint: `Mend ${name}, commit and push again`,
  })
}
