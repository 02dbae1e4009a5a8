/** One figure of the benchmark: `bar` is the issue's own limit for `value`, where there is one. */
export type Figure = {
  name: string
  value: number
  unit: 'ms' | 'x' | 'MB' | '%' | 'requests' | 'websockets' | 'runs' | 'times' | 'things'
  bar?: number
  samples?: number[]
}

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? NaN
  return sorted.length % 2 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2
}

export function milliseconds(name: string, samples: number[]): Figure {
  return { name, value: median(samples), unit: 'ms', samples }
}

/** Of samples that took turns: the median of each round's own ratio, which the noise hits least. */
export function ratio(name: string, over: number[], under: number[], bar?: number): Figure {
  const samples = over.map((value, index) => value / (under[index] ?? NaN))
  return { name, value: median(samples), unit: 'x', ...(bar && { bar }), samples }
}

/** Runs `work` so often and returns what each run returned. */
export async function sample(times: number, work: (round: number) => Promise<number>) {
  const values: number[] = []
  for (let round = 0; round < times; round += 1) values.push(await work(round))
  return values
}

export async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work()
  return performance.now() - began
}

/** The figures as a Markdown table, which the README can take as it is. */
export function asTable(figures: Figure[]): string {
  const rows = figures.map(({ name, value, unit, bar }) => {
    const shown = `${unit === 'x' ? value.toFixed(2) : Math.round(value * 10) / 10} ${unit}`
    const verdict = bar === undefined ? '' : `${value <= bar ? '≤' : '**over**'} ${bar} ${unit}`
    return `| ${name} | ${shown} | ${verdict} |`
  })
  return ['| what | median | bar |', '|---|---|---|', ...rows].join('\n')
}
