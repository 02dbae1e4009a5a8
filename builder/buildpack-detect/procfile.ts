import { limits } from '../../core/config.ts'
import { Failure } from '../../core/errors.ts'
import { isProcessType, printable } from '../../core/names.ts'

/**
 * Reads a Procfile: `type: command`, one a line, `#` comments. Throws a Failure that names the
 * first bad line by number.
 */
export function parseProcfile(text: string): Record<string, string> {
  const lineOf = new Map<string, number>()
  const processes: Record<string, string> = {}
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.trim()
    if (line === '' || line.startsWith('#')) continue
    const { type, command } = parseLine(line, index + 1)
    const earlier = lineOf.get(type)
    if (earlier !== undefined) {
      throw invalid(
        index + 1,
        `"${type}" is on line ${earlier} already`,
        'Keep one of the two lines',
      )
    }
    lineOf.set(type, index + 1)
    processes[type] = command
  }
  if (lineOf.size > 0) return processes
  throw new Failure('failed', 'Procfile has no processes', { hint: shape })
}

const shape = 'Write one process a line, such as: web: node server.js'

function parseLine(line: string, number: number): { type: string; command: string } {
  const colon = line.indexOf(':')
  if (colon < 0) throw invalid(number, `"${printable(line)}" has no ":"`, shape)
  const type = line.slice(0, colon).trim()
  const command = line.slice(colon + 1).trim()
  if (!isProcessType(type)) {
    const rule = 'Use a-z, 0-9 and "-", beginning with a letter, at most 63 characters'
    throw invalid(number, `"${printable(type)}" is not a process type`, rule)
  }
  if (command === '') throw invalid(number, `"${type}" has no command`, shape)
  if (command.includes('\0') || command.length > limits.configValueBytes) {
    throw invalid(number, `the command of "${type}" is not one that a shell can run`, shape)
  }
  return { type, command }
}

function invalid(line: number, seen: string, hint: string): Failure {
  return new Failure('failed', `Procfile line ${line}: ${seen}`, { hint })
}
