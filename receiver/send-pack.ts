import { PassThrough, type Readable } from 'node:stream'
import { Failure } from '../core/errors.ts'
import { waitForEnd } from '../core/exec.ts'
import { startProgram } from '../core/spawn.ts'
import { gitEnvironment } from './git.ts'
import { type OnPush, receivePack } from './receive-pack.ts'

/**
 * A push of our own making, from a repository beside: to git, its checks, its quarantine and our
 * hook it is like one that came over the network.
 */

export type Sending = {
  /** The repository that has the commit. */
  from: string
  commit: string
  /** `refs/heads/main` */
  ref: string
  /** The app's repository. */
  repo: string
  onPush: OnPush
  signal: AbortSignal
}

const packTimeoutMs = 10 * 60_000
const noSha = '0'.repeat(40)

/** Pushes; throws a Failure with git's own words when it did not move the ref. */
export async function sendPack(sending: Sending): Promise<void> {
  const { from, commit, ref, repo, onPush, signal } = sending
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()]
  const said = textOf(stderr)
  const received = receivePack({ stdin, stdout, stderr, signal, env: {}, repo, onPush })
  const end = () => [stdout, stderr].forEach((stream) => stream.end())
  received.then(end, end) // awaited below, when there is nothing more to send
  const packets = readPackets(stdout)
  const refs = await section(packets)
  const old = refs.find((line) => line.slice(41).split('\0')[0]?.trim() === ref)
  const oldSha = old?.slice(0, 40) ?? noSha
  stdin.write(packet(`${oldSha} ${commit} ${ref}\0 report-status ofs-delta\n`) + '0000')
  await writePack(from, { wants: commit, has: shasOf(refs) }, stdin, signal)
  const report = await section(packets)
  const code = await received
  if (code === 0 && report.includes(`ok ${ref}\n`)) return
  const why = report.filter((line) => !line.startsWith('ok ') && line !== 'unpack ok\n')
  const details = [...(await said).split('\n'), ...why].map((line) => line.trim()).filter(Boolean)
  throw new Failure('failed', `git did not take ${commit.slice(0, 7)}`, { details })
}

/** The objects that the other side lacks, as it told what it has. */
async function writePack(
  from: string,
  { wants, has }: { wants: string; has: string[] },
  target: PassThrough,
  signal: AbortSignal,
): Promise<void> {
  const args = ['pack-objects', '--stdout', '--revs', '--thin', '--delta-base-offset', '--quiet']
  const git = startProgram('git', [`--git-dir=${from}`, ...args], {
    env: gitEnvironment(),
    streams: ['to it', 'from it', 'nowhere'],
  })
  const [stdin, stdout] = git.streams
  stdin?.on('error', () => {})
  stdin?.end([wants, ...has.map((sha) => `^${sha}`)].map((line) => `${line}\n`).join(''))
  stdout?.pipe(target)
  const code = await waitForEnd(git, { signal, timeoutMs: packTimeoutMs })
  if (code !== 0) throw new Failure('failed', `git pack-objects exited with ${code}`)
}

function shasOf(refs: string[]): string[] {
  const shas = refs.map((line) => line.slice(0, 40))
  return [...new Set(shas)].filter((sha) => /^[0-9a-f]{40}$/.test(sha) && sha !== noSha)
}

function packet(text: string): string {
  return (Buffer.byteLength(text) + 4).toString(16).padStart(4, '0') + text
}

/** The packets up to the next flush, or to the end. */
async function section(packets: AsyncIterator<string | null>): Promise<string[]> {
  const lines: string[] = []
  for (;;) {
    const { value, done } = await packets.next()
    if (done || value === null) return lines
    lines.push(value)
  }
}

/** Each packet of git's protocol as text, null for a flush. */
async function* readPackets(stream: Readable): AsyncGenerator<string | null> {
  let buffer = Buffer.alloc(0)
  for await (const chunk of stream) {
    buffer = Buffer.concat([buffer, chunk])
    while (buffer.length >= 4) {
      const length = Number.parseInt(buffer.toString('latin1', 0, 4), 16)
      if (!(length === 0 || length >= 4)) throw new Error('git sent no packet')
      if (buffer.length < length) break
      const end = Math.max(length, 4)
      yield length === 0 ? null : buffer.toString('utf8', 4, length)
      buffer = buffer.subarray(end)
    }
  }
}

async function textOf(stream: Readable): Promise<string> {
  let text = ''
  for await (const chunk of stream) if (text.length < 8192) text += String(chunk)
  return text
}
