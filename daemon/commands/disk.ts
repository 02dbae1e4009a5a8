import { type DiskReport, type LedgerLayer, showBytes } from '../disk/disk-report.ts'
import type { Command } from './command.ts'
import { findApp } from '../apps/find-app.ts'
import { columns } from './output.ts'

export const diskCommands: Command[] = [
  {
    name: 'disk',
    usage: '[APP]',
    summary: 'Show what takes the disk, by app, or by layer for an app',
    app: false,
    run: async (call, daemon) => {
      const [name] = call.args
      const app = name === undefined ? undefined : findApp(name, daemon).name
      const report = await daemon.disk.report()
      if (app === undefined) return { lines: describe(report), json: report }
      const layers = report.layers.filter(({ apps }) => apps.includes(app))
      const space = report.apps.find((one) => one.app === app)
      return { lines: layerRows(layers), json: { ...space, layers } }
    },
  },
  {
    name: 'images:gc',
    usage: '',
    summary: 'Remove the layers that no release needs, now; it also happens after each deploy',
    app: false,
    run: async (call, daemon) => {
      const before = await daemon.disk.report()
      const removed = await daemon.garbage.collect(call.session.signal)
      const gone = before.layers.filter(({ key }) => removed.includes(key))
      const bytes = gone.reduce((sum, layer) => sum + (layer.bytes ?? 0), 0)
      const count = `${removed.length} ${removed.length === 1 ? 'layer' : 'layers'}`
      return {
        lines: [`-----> Removed ${count}, ${showBytes(bytes)}`],
        json: { removed, bytes },
      }
    },
  },
]

function describe(report: DiskReport): string[] {
  const { free, total, apps, storages, shared, garbage } = report
  const rows = apps.map(({ app, layers, buildCache, logs, repository, total: all }) => [
    app,
    ...[layers, buildCache, logs, repository, all].map(showBytes),
  ])
  const others = [
    ...storages.map(({ storage, bytes }) => [`storage ${storage}`, showBytes(bytes)]),
    ['stacks and runtimes', showBytes(shared)],
    ...(garbage > 0 ? [['garbage (goes soon, or with images:gc)', showBytes(garbage)]] : []),
  ]
  return [
    `=====> ${showBytes(free)} of ${showBytes(total)} are free`,
    ...columns([['APP', 'RELEASES', 'BUILD CACHE', 'LOGS', 'REPOSITORY', 'TOTAL'], ...rows]),
    '=====> Beside the apps',
    ...columns(others),
  ]
}

function layerRows(layers: LedgerLayer[]): string[] {
  const rows = layers.map(({ kind, label, key, bytes, shared, references, apps }) => [
    kind,
    label,
    bytes === null ? 'not measured' : showBytes(bytes),
    String(references),
    shared ? 'all of the host' : apps.join(', '),
    key,
  ])
  return columns([['KIND', 'WHAT', 'SIZE', 'RELEASES', 'APPS', 'KEY'], ...rows])
}
