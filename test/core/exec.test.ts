import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { limits } from '../../core/config.ts'
import { exec } from '../../core/exec.ts'

/** The one door to other programs, started without a copy of this process. */

test('a program gets its input, and what it says and how it ends come back', async () => {
  const script = 'echo out; echo err >&2; cat; exit 3'
  const result = await exec('sh', ['-c', script], { input: 'in', accept: [3] })
  expect(result).toEqual({ code: 3, stdout: 'out\nin', stderr: 'err\n' })
  expect(await exec('sh', ['-c', 'kill -9 $$'], { accept: [137] })).toMatchObject({ code: 137 })
  await expect(exec('sh', ['-c', 'echo why >&2; exit 1'])).rejects.toThrow(
    '"sh -c echo why >&2; exit 1" exited with 1: why',
  )
})

test('megabytes go in and come out whole, and who reads nothing is no error', async () => {
  const input = 'x'.repeat(3_000_000)
  expect((await exec('cat', [], { input })).stdout).toBe(input)
  expect((await exec('true', [], { input })).code).toBe(0)
})

test('lines come as they are, and what never ends one in pieces', async () => {
  const lines: string[] = []
  const onLine = (line: string) => void lines.push(line)
  await exec('printf', ['one\r\n\ntwo'], { onLine })
  expect(lines.splice(0)).toEqual(['one', '', 'two'])
  await exec('cat', [], { input: 'x'.repeat(3_000_000), onLine })
  expect(Math.max(...lines.map(({ length }) => length))).toBe(limits.logLineBytes)
  expect(lines.join('')).toHaveLength(3_000_000)
})

test('each of many at once gets its own', async () => {
  const codes = Array.from({ length: 60 }, (_, code) => code)
  const ended = codes.map(async (code) => {
    const { stdout } = await exec('sh', ['-c', `echo ${code}; exit ${code}`], { accept: [code] })
    return Number(stdout)
  })
  expect(await Promise.all(ended)).toEqual(codes)
})

test('it leads a session, has the environment and directory it is given, and all signals', async () => {
  const script = 'read -r line < /proc/$$/stat; echo $$ $line; pwd; env'
  const env = { PATH: process.env.PATH ?? '', ONLY: 'this' }
  const { stdout } = await exec('sh', ['-c', script], { cwd: '/usr', env })
  const [stat = '', cwd, ...variables] = stdout.trim().split('\n')
  const [own, , , , , group, session] = stat.split(' ')
  expect([group, session, cwd]).toEqual([own, own, '/usr'])
  expect(variables).toContain('ONLY=this')
  expect(variables).not.toContainEqual(expect.stringMatching(/^HOME=/))
  const { stdout: status } = await exec('cat', ['/proc/self/status'])
  expect(status).toMatch(/^SigBlk:\s+0+$/m)
  expect(status).toMatch(/^SigIgn:\s+0+$/m)
})

test('a script that names no interpreter is one of the shell', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'paas-exec-'))
  onTestFinished(() => rmSync(dir, { recursive: true }))
  writeFileSync(join(dir, 'tool'), 'echo "$0 has $1"', { mode: 0o755 })
  mkdirSync(join(dir, 'first', 'tool'), { recursive: true }) // no program, whatever its name
  const PATH = `${dir}/none::${dir}/first:${dir}`
  const { stdout } = await exec('tool', ['a word'], { env: { PATH } })
  expect(stdout).toBe(`${dir}/tool has a word\n`)
})

test('what cannot start says why', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'paas-exec-'))
  onTestFinished(() => rmSync(dir, { recursive: true }))
  await expect(exec('no-such-tool', [])).rejects.toThrow(
    'Could not start no-such-tool: not installed (run: paas doctor)',
  )
  await expect(exec('/etc/passwd', [])).rejects.toThrow('EACCES')
  await expect(exec('true', [], { cwd: join(dir, 'none') })).rejects.toThrow('Could not start true')
  await expect(exec('echo', ['one\0two'])).rejects.toThrow('NUL')
})

test('a deadline is named', async () => {
  const late = exec('sleep', ['300'], { timeoutMs: 200 })
  await expect(late).rejects.toThrow('sleep took longer than 0.2 s')
})

test('an abort ends all of the group, however deaf', async () => {
  const abort = new AbortController()
  let pid = ''
  const onLine = (line: string) => {
    pid = line
    abort.abort()
  }
  const deaf = 'trap "" TERM; sleep 300 & echo $!; wait; sleep 300'
  const { signal } = abort
  await expect(exec('sh', ['-c', deaf], { signal, onLine })).rejects.toThrow('Cancelled')
  await expect.poll(() => state(pid), { timeout: 30_000 }).toMatch(/^$|Z/)
})

test('hundreds leave no file open and no child unburied', async () => {
  await exec('true', [])
  const before = filesOpen()
  for (let round = 0; round < 15; round++) {
    await Promise.all(Array.from({ length: 20 }, () => exec('true', [], { input: 'x' })))
  }
  await expect.poll(filesOpen, { timeout: 30_000 }).toBeLessThanOrEqual(before)
  const children = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').split(' ')
  expect(children.filter((pid) => pid !== '' && state(pid) === 'Z')).toEqual([])
})

function filesOpen(): number {
  return readdirSync('/proc/self/fd').length
}

function state(pid: string): string {
  try {
    return /^State:\s+(\S)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? ''
  } catch {
    return ''
  }
}
