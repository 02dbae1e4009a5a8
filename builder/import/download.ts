import { createWriteStream } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { limits } from '../../core/config.ts'
import { Failure, stopIfCancelled } from '../../core/errors.ts'
import { http, https } from '../../core/http.ts'
import { maskAddresses } from '../../core/mask.ts'
import { printable } from '../../core/names.ts'

const redirectsMost = 5
const timeoutMs = 10 * 60_000
const answerTimeoutMs = 60_000
const bytesMost = limits.pushBytes

/** Downloads an http or https address into a file, bounded in time and size. */
export async function download(url: string, file: string, signal: AbortSignal): Promise<void> {
  const shown = printable(maskAddresses(url))
  try {
    await receive(await request(url, signal), file, signal)
  } catch (error) {
    stopIfCancelled(signal)
    if (error instanceof Failure) throw error
    const why = error instanceof Error ? error.message : String(error)
    throw new Failure('failed', `${shown} could not be downloaded: ${why}`, { cause: error })
  }
}

/** Writes a stream into a file, bounded in time and size. */
export async function receive(from: Readable, file: string, signal: AbortSignal): Promise<void> {
  let bytes = 0
  const bounded = async function* (chunks: AsyncIterable<Buffer>) {
    for await (const chunk of chunks) {
      bytes += chunk.length
      if (bytes > bytesMost) {
        const most = `${Math.round(bytesMost / 1024 / 1024)} MiB`
        throw new Failure('failed', `The archive has more than ${most}`)
      }
      yield chunk
    }
  }
  const late = AbortSignal.timeout(timeoutMs)
  try {
    const both = AbortSignal.any([signal, late])
    await pipeline(from, bounded, createWriteStream(file, { mode: 0o600 }), { signal: both })
  } catch (error) {
    stopIfCancelled(signal)
    if (!late.aborted) throw error
    throw new Failure('failed', `The archive did not come within ${timeoutMs / 60_000} minutes`)
  }
}

async function request(
  url: string,
  signal: AbortSignal,
  redirects = redirectsMost,
): Promise<IncomingMessage> {
  const { protocol } = URL.parse(url) ?? {}
  if (protocol !== 'https:' && protocol !== 'http:') {
    throw new Failure('usage', `"${printable(maskAddresses(url))}" is not a web address`, {
      hint: 'Use https://…, or give the archive on standard input',
    })
  }
  const { get } = protocol === 'https:' ? https : http
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const headers = { 'user-agent': 'paas' }
  const call = get(url, { signal, timeout: answerTimeoutMs, headers }, resolve)
  call.on('timeout', () => call.destroy(new Error(`no answer in ${answerTimeoutMs / 1000} s`)))
  call.on('error', reject)
  const response = await promise
  const { statusCode = 0 } = response
  if (statusCode === 200) return response
  response.destroy()
  if (statusCode < 300 || statusCode > 399 || !response.headers.location) {
    throw new Error(`the server answered ${statusCode}`)
  }
  if (redirects === 0) throw new Error(`more than ${redirectsMost} redirects`)
  const next = new URL(response.headers.location, url).href
  if (protocol === 'https:' && !next.startsWith('https:'))
    throw new Error('it leads away from https')
  return request(next, signal, redirects - 1)
}
