import { writeFile } from 'node:fs/promises'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { asTable, type Figure } from './stats.ts'

/**
 * `npm run bench [-- GROUP… --json FILE]`: our figures and the raw parts beside them, in one run on
 * one machine. These machines are noisy: read the ratios, not the milliseconds.
 */
const groups: Record<string, () => Promise<Figure[]>> = {
  push: async () => (await import('./push.ts')).benchPush(),
  releases: async () => (await import('./releases.ts')).benchReleases(),
  load: async () => (await import('./load.ts')).benchLoad(),
  flood: async () => (await import('./flood.ts')).benchFlood(),
  metrics: async () => (await import('./metrics.ts')).benchMetrics(),
  disk: async () => (await import('./disk.ts')).benchDisk(),
  neighbour: async () => (await import('./neighbour.ts')).benchNeighbour(),
  builder: async () => (await import('./builder.ts')).benchBuilder(),
  soak: async () => (await import('./soak.ts')).benchSoak(),
}

const { values: options, positionals } = parseArgs({
  options: { json: { type: 'string' } },
  allowPositionals: true,
})
const names = positionals.length > 0 ? positionals : ['push']
const unknown = names.find((name) => !Object.hasOwn(groups, name))
if (unknown !== undefined) {
  process.stderr.write(`No group "${unknown}"; there are: ${Object.keys(groups).join(', ')}\n`)
  process.exit(2)
}
const figures: Figure[] = []
for (const name of names) figures.push(...((await groups[name]?.()) ?? []))
process.stdout.write(`${asTable(figures)}\n`)
// Times are noisy; what may not be lost, left or made at all is not.
if (figures.some(({ value, bar }) => bar === 0 && value > 0)) process.exitCode = 1
if (options.json) {
  const about = { date: new Date().toISOString(), cpu: cpus()[0]?.model, cores: cpus().length }
  await writeFile(options.json, `${JSON.stringify({ ...about, figures }, null, 2)}\n`)
}
