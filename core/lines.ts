import { StringDecoder } from 'node:string_decoder'
import { limits } from './config.ts'

/** Cuts bytes into lines; one longer than `limits.logLineBytes` comes in several. */
export function lineSplitter(onLine: (line: string) => void) {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  const take = (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) for (const part of chop(line.replace(/\r$/, ''))) onLine(part)
    while (rest.length > limits.logLineBytes) {
      onLine(rest.slice(0, limits.logLineBytes))
      rest = rest.slice(limits.logLineBytes)
    }
  }
  return {
    write: (chunk: Buffer) => take(decoder.write(chunk)),
    end: () => {
      take(decoder.end())
      if (rest !== '') onLine(rest)
      rest = ''
    },
  }
}

function chop(line: string): string[] {
  if (line.length <= limits.logLineBytes) return [line]
  const parts: string[] = []
  for (let start = 0; start < line.length; start += limits.logLineBytes) {
    parts.push(line.slice(start, start + limits.logLineBytes))
  }
  return parts
}
