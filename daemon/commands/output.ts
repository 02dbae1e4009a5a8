import type { Writable } from 'node:stream'

/** Writes lines and waits while the other side is slow; a client that is gone is no error. */
export async function print(stream: Writable, lines: string[]): Promise<void> {
  if (lines.length === 0 || stream.destroyed || !stream.writable) return
  if (stream.write(lines.map((line) => `${line}\n`).join(''))) return
  const { promise, resolve } = Promise.withResolvers<void>()
  stream.once('drain', resolve).once('close', resolve)
  await promise
}

/** Rows as aligned columns, indented by two; wide first columns do not push the others away. */
export function columns(rows: string[][], widest = 80): string[] {
  const widths: number[] = []
  for (const row of rows) {
    for (const [index, cell] of row.entries()) {
      const width = Math.min(cell.length, widest)
      widths[index] = Math.max(widths[index] ?? 0, width)
    }
  }
  return rows.map((row) =>
    `  ${row.map((cell, index) => cell.padEnd(widths[index] ?? 0)).join('  ')}`.trimEnd(),
  )
}
