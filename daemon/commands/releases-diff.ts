import type { KeyDiff, LayerDiff, ValueDiff } from '../code/release-diff.ts'
import type { Command } from './command.ts'
import { usageFailure } from './parse.ts'
import { findRelease } from './releases.ts'

/** Of one layer, for people and for programs. */
const linesMost = 100
const filesMost = 10_000

export const diffCommands: Command[] = [
  {
    name: 'releases:diff',
    usage: 'APP vN [vM]',
    summary:
      'Show what differs from release vN to vM, or to the current one: files, config, settings',
    app: true,
    run: async (call, daemon) => {
      const [first, second] = call.args
      if (first === undefined) throw usageFailure(call.command, 'releases:diff needs a release')
      const before = findRelease(daemon, call.app(), first)
      const after = findRelease(daemon, call.app(), second)
      const { diffReleases } = await import('../code/release-diff.ts')
      const most = { filesMost: call.json ? filesMost : linesMost, signal: call.session.signal }
      const diff = await diffReleases(daemon, [before, after], most)
      const { layers, config, ...settings } = diff
      const lines = [
        ...layers.flatMap(layerLines),
        ...keyLines(config),
        ...Object.entries(settings).flatMap(([name, values]) => valueLines(name, values)),
      ]
      const title = `-----> ${call.app().name} v${before.version} to v${after.version}`
      const none = lines.length === 0 ? ['       Nothing differs'] : []
      return { lines: [title, ...lines, ...none], json: diff }
    },
  },
]

const marks = { added: '+', removed: '-', changed: '~' }

function layerLines({ kind, before, after, files, more }: LayerDiff): string[] {
  const names = [before ?? '(none)', after ?? '(none)']
  const title = `       ${kind}: ${[...new Set(names)].join(' → ')}`
  if (!files) return [title, '         the files of one are not kept: it never served']
  const shown = files.map(
    ({ change, path }) => `         ${marks[change]} ${JSON.stringify(path).slice(1, -1)}`,
  )
  const rest = more
    ? [`         … and more: ${linesMost} are shown, --json shows ${filesMost}`]
    : []
  if (files.length === 0) rest.push('         made anew, with the same files')
  return [title, ...shown, ...rest]
}

function keyLines({ added, removed, changed }: KeyDiff): string[] {
  const all = { added, removed, changed }
  const lines = (['added', 'removed', 'changed'] as const).flatMap((change) =>
    all[change].map((key) => `         ${marks[change]} ${key}`),
  )
  return lines.length > 0 ? ['       config:', ...lines] : []
}

function valueLines(name: string, values: ValueDiff): string[] {
  const lines = Object.entries(values).map(
    ([key, { before, after }]) => `         ${key}: ${show(before)} → ${show(after)}`,
  )
  return lines.length > 0 ? [`       ${name}:`, ...lines] : []
}

function show(value: unknown): string {
  if (value === undefined) return '(none)'
  return typeof value === 'string' ? value : JSON.stringify(value)
}
