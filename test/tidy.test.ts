import { readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { describe, expect, test } from 'vitest'
import { exec } from '../core/exec.ts'

/** The rules of the house that no other tool checks. Types, lint and format have their own. */

const root = dirname(import.meta.dirname)
const rooms = ['receiver', 'builder', 'runner', 'router', 'plugins']
const { stdout } = await exec('git', ['ls-files', '-co', '--exclude-standard'], { cwd: root })
const files = stdout
  .split('\n')
  .filter(
    (path) => path && !/^(test\/apps|scripts\/sample)\/|\.lock$|package-lock\.json/.test(path),
  )
const sources = files
  .filter((path) => path.endsWith('.ts'))
  .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }))

/** What a source imports: repository paths for our own files, names for packages. */
const imports = sources.flatMap(({ path, text }) =>
  [
    ...text.matchAll(
      /^(?:import|export|\} from) ?(?:type )?.*?(?:from )?'([^']+)'|import\('([^']+)'\)/gm,
    ),
  ]
    .map(([line, name = '', dynamic = '']) => ({ line, name: name || dynamic }))
    .map(({ line, name }) => ({
      path,
      target: name.startsWith('.') ? relative(root, join(root, dirname(path), name)) : name,
      typeOnly: line.startsWith('import type') || line.startsWith('export type'),
    })),
)

describe('imports', () => {
  test('a room imports only core, itself and packages', () => {
    const bad = imports.filter(({ path, target }) => {
      const [room, other] = [top(path), top(target)]
      if (!rooms.includes(room) || !isOurs(target)) return false
      return other !== room && other !== 'core'
    })
    expect(lines(bad)).toEqual([])
  })

  test('core imports only core', () => {
    const bad = imports.filter(
      ({ path, target }) => top(path) === 'core' && isOurs(target) && top(target) !== 'core',
    )
    expect(lines(bad)).toEqual([])
  })

  test('nobody imports daemon, scripts or test from outside', () => {
    const bad = imports.filter(({ path, target }) => {
      const [from, to] = [top(path), top(target)]
      if (from === 'test') return false // tests may start anything
      return ['daemon', 'scripts', 'test'].includes(to) && from !== to
    })
    expect(lines(bad)).toEqual([])
  })

  /** Each dangerous library has one place that knows its traps; its types harm nobody. */
  const owners: Record<string, string | string[]> = {
    child_process: 'core/exec.ts',
    'node:child_process': 'core/exec.ts',
    ssh2: 'receiver/',
    'node:http': 'core/http.ts', // says why
    'node:https': 'core/http.ts',
    undici: 'router/caddy-api.ts',
    'node:sqlite': 'daemon/store/',
    croner: 'daemon/runs/schedule.ts',
    koffi: ['core/spawn.ts', 'receiver/quick-ack.ts', 'runner/'],
    zx: 'plugins/',
  }
  test.each(Object.entries(owners))('%s is imported by %s alone', (library, owner) => {
    const bad = imports.filter(
      ({ path, target, typeOnly }) =>
        isOf(library, target) && !typeOnly && !isBelow(path, owner) && top(path) !== 'test',
    )
    expect(lines(bad)).toEqual([])
  })

  test('every source is imported, or begins something', () => {
    const used = new Set(imports.map(({ target }) => target))
    const begins = /^(test|scripts|plugins|patches)\/|^daemon\/(main|cli|down)\.ts$|^[^/]+$/
    const dead = sources.filter(
      ({ path }) => !used.has(path) && !begins.test(path) && !path.endsWith('.d.ts'),
    )
    expect(dead.map(({ path }) => path)).toEqual([])
  })
})

describe('text', () => {
  // Code is the formatter's business: it leaves only strings and comments longer.
  test('no line without a string is longer than 100 columns', () => {
    const bad = offending(
      ({ line }) => line.length > 100 && (/^ *(\/?\*|\/\/)/.test(line) || !/['`]/.test(line)),
    )
    expect(bad).toEqual([])
  })

  test('nothing is left for later', () => {
    const mark = /\b(TO[D]O|FIX[M]E|XX[X])\b/
    expect(offending(({ line }) => mark.test(line))).toEqual([])
  })
})

/** Calls that look right and are not; `except` names the one file that may. */
const bans: { call: RegExp; instead: string; except?: RegExp }[] = [
  { call: /\bshell: *true\b/, instead: 'exec(file, args): a shell would read user data as code' },
  { call: /\bexecSync\(|\bspawnSync\(/, instead: 'exec: the daemon must not stand still' },
  { call: /\.setTimeout\(0\)|timeoutMs: *(0|Infinity)\b/, instead: 'a deadline: every wait ends' },
  { call: /\.localeCompare\(/, instead: 'byText of core/names.ts' },
  { call: /\bnew Function\(|\beval\(/, instead: 'parsing' },
  {
    call: /\bconsole\./,
    instead: 'log of core/log.ts, or a Say',
    except: /^(scripts|plugins|patches)\//,
  },
  {
    call: /\bprocess\.env\b(?!\.PATH|\['PATH)/,
    instead: 'readConfig of core/config.ts',
    except: envReaders(),
  },
  { call: /\bas any\b|@ts-ignore|@ts-expect-error/, instead: 'validating at the border' },
  { call: /\bexistsSync\([^)]*\) *&& *readFileSync/, instead: 'reading, and handling ENOENT' },
  { call: /\benum [A-Z]|\bnamespace [A-Z]/, instead: 'a union of strings, a module' },
  { call: /\bprivate (readonly )?\w+[:;(]/, instead: '#private' },
]

describe('banned', () => {
  test.each(bans.map((ban) => [String(ban.call), ban.instead, ban] as const))(
    '%s: use %s',
    (_call, _instead, { call, except }) => {
      const bad = offending(
        ({ path, line }) => call.test(line) && top(path) !== 'test' && !except?.test(path),
      )
      expect(bad).toEqual([])
    },
  )
})

/** `return work()` ends the block, and what it holds by `using`, before the work is done. */
test('who holds something by `using` awaits the work that it returns', () => {
  const names = sources.flatMap(({ text }) => [
    ...text.matchAll(/^ *(?:export )?async (?:function )?([\w#]+)\(/gm),
  ])
  const slow = new Set(names.map(([, name]) => name))
  const bad = sources.flatMap(({ path, text }) => {
    const all = text.split('\n')
    return all.flatMap((line, index) => {
      const [, indent] = /^( +)(?:await )?using \w+ =/.exec(line) ?? []
      if (indent === undefined) return []
      const rest = all.slice(index)
      const end = rest.findIndex((one) => one !== '' && !one.startsWith(indent))
      const own = withoutInnerFunctions(rest.slice(0, end))
      return own
        .map((one) => /^ *return ([\w.#]+)\(/.exec(one)?.[1])
        .filter((callee) => slow.has(callee?.split('.').at(-1)))
        .map((callee) => `${path}: return await ${callee}`)
    })
  })
  expect(bad).toEqual([])
})

/** What they return is another matter. */
function withoutInnerFunctions(block: string[]): string[] {
  let inside: string | undefined
  return block.filter((line) => {
    const indent = /^ */.exec(line)?.[0] ?? ''
    if (inside !== undefined) {
      if (line.startsWith(`${inside}}`)) inside = undefined
      return false
    }
    if (line.endsWith('=> {')) inside = indent
    return true
  })
}

/** Where the environment comes in: the entry points, and what passes it on to a child. */
function envReaders(): RegExp {
  return /^(scripts|plugins|core\/spawn\.ts|daemon\/(main|cli|down)\.ts)/
}

function offending(is: (at: { path: string; line: string }) => boolean): string[] {
  return sources.flatMap(({ path, text }) =>
    text
      .split('\n')
      .map((line, index) => ({ path, line, at: `${path}:${index + 1}` }))
      .filter(is)
      .map(({ at, line }) => `${at} ${line.trim().slice(0, 120)}`),
  )
}

function isBelow(path: string, owners: string | string[]): boolean {
  return [owners].flat().some((owner) => path.startsWith(owner))
}

function top(path: string): string {
  return path.split('/')[0] ?? ''
}

function isOurs(target: string): boolean {
  return (
    target.includes('/') && ['core', 'daemon', 'scripts', 'test', ...rooms].includes(top(target))
  )
}

function lines(found: { path: string; target: string }[]): string[] {
  return found.map(({ path, target }) => `${path} imports ${target}`)
}

function isOf(library: string, target: string): boolean {
  return target === library || target.startsWith(`${library}/`)
}
