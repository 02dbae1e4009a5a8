import { limits } from '../../core/config.ts'
import { Failure } from '../../core/errors.ts'
import { parseConfigKey } from '../../core/names.ts'
import type { Config } from '../../core/types.ts'
import type { Call } from './command.ts'
import { usageFailure } from './parse.ts'
import { decodeUtf8, otherBytesHint, readStdin } from './stdin.ts'

/** The values of `config:set`, from arguments or standard input. None is ever echoed. */
export async function givenPairs(call: Call): Promise<Config> {
  const pairs = call.options.stdin ? [await stdinPair(call)] : argumentPairs(call)
  const values = pairs.map(([key, value]) => {
    return [key, call.options.encoded ? decoded(value, key) : value] as const
  })
  return checkValues(Object.fromEntries(values))
}

/** Throws a usage Failure for a value that no process can be given. */
export function checkValues<T extends Config>(config: T): T {
  let total = 0
  for (const [key, value] of Object.entries(config)) {
    if (value.includes('\0')) throw new Failure('usage', `The value of ${key} holds a NUL byte`)
    const bytes = Buffer.byteLength(value)
    total += bytes + key.length
    if (bytes <= limits.configValueBytes) continue
    throw new Failure(
      'usage',
      `The value of ${key} has ${bytes} bytes; the most is ${limits.configValueBytes}`,
    )
  }
  if (total <= limits.configBytes) return config
  throw new Failure(
    'usage',
    `All config together has ${total} bytes; the most is ${limits.configBytes}`,
  )
}

export function encoded(value: string): string {
  return Buffer.from(value).toString('base64')
}

/** Strict: Node's own decoder would skip over whatever is not base64. */
export function decoded(value: string, key: string): string {
  const text = value.replace(/\s+/g, '')
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) {
    throw new Failure('usage', `The value of ${key} is not base64`)
  }
  return decodeUtf8(Buffer.from(text, 'base64'), `The value of ${key}`)
}

async function stdinPair(call: Call): Promise<readonly [string, string]> {
  const [key, ...more] = call.args
  if (key === undefined || more.length > 0 || key.includes('=')) {
    throw usageFailure(call.command, 'config:set --stdin wants one KEY')
  }
  return [parseConfigKey(key), await readStdin(call, limits.configTextBytes)]
}

function argumentPairs(call: Call): (readonly [string, string])[] {
  if (call.args.length === 0) throw usageFailure(call.command, 'config:set needs KEY=VALUE')
  return call.args.map((arg, index) => {
    const at = arg.indexOf('=')
    if (at === -1) throw usageFailure(call.command, `Argument ${index + 1} has no "="`)
    const [key, value] = [parseConfigKey(arg.slice(0, at)), arg.slice(at + 1)]
    // What is no UTF-8 became this sign on its way here: what was meant is lost.
    if (!value.includes('\ufffd')) return [key, value] as const
    throw new Failure('usage', `The value of ${key} is not UTF-8 text`, {
      hint: `${otherBytesHint}; the character U+FFFD itself is taken with --encoded`,
    })
  })
}
