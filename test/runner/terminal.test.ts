import { PassThrough } from 'node:stream'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { newId } from '../../core/names.ts'
import type { AttachedIo } from '../../runner/attach.ts'
import { enterInstance, sweepEntered } from '../../runner/enter.ts'
import { runAttached } from '../../runner/run.ts'
import { removeInstance } from '../../runner/stop.ts'
import { collector, never, node, openTestHost, type TestHost, traces, until } from './fixture.ts'

let t: TestHost

beforeAll(async () => void (t = await openTestHost()))
afterAll(() => t[Symbol.asyncDispose]())

/** The client's side of a terminal. */
function screen(signal: AbortSignal = never) {
  const stdin = new PassThrough()
  const output = collector()
  const listeners: ((columns: number, rows: number) => void)[] = []
  const terminal = {
    columns: 80,
    rows: 24,
    onResize: (listener: (columns: number, rows: number) => void) => void listeners.push(listener),
  }
  const io: AttachedIo = { stdin, stdout: output.stream, terminal, signal, timeoutMs: 60_000 }
  return {
    io,
    type: (text: string) => void stdin.write(text),
    resize: (columns: number, rows: number) => listeners.forEach((one) => one(columns, rows)),
    text: output.text,
  }
}

const size = `node -p '[process.stdout.columns, process.stdout.rows].join("x")'`
const shell = ['sh', '-i']
const env = { env: { PS1: '$ ', PATH: '/usr/bin' } }

test('a shell has a terminal: echo, window size, ^C, job control and exit status', async () => {
  const { io, type, resize, text } = screen()
  const running = runAttached(t.host, t.spec(shell, env), io)
  await until('the prompt is there', () => text().includes('$ '))
  expect(text()).not.toContain('job control turned off')
  type('echo one-$((1 + 1))\r')
  await until('it answers', () => text().includes('one-2'))
  expect(text()).toContain('echo one-$((1 + 1))')
  type(`${size}\r`)
  await until('it knows its size', () => text().includes('80x24'))
  resize(132, 43)
  await until('it knows its new size', async () => {
    type(`${size}\r`) // which may be quicker than the news
    await pause(500)
    return text().includes('132x43')
  })
  type(`sh -c 'echo sleeps-$((1 + 1)); exec sleep 1000'\r`)
  await until('it sleeps', () => text().includes('sleeps-2'))
  type('\x03')
  type('echo "woke $?"\r')
  await until('^C woke it', () => text().includes('woke 130'))
  type(`sh -c 'echo sleeps-$((1 + 2)); exec sleep 1000'\r`)
  await until('it sleeps', () => text().includes('sleeps-3'))
  type('\x1a')
  await until('^Z stopped it', () => text().includes('Stopped'))
  type('fg\r')
  await until('it goes on', () => /fg\r\n.*sleep 1000/.test(text()))
  type('\x03')
  type('exit 7\r')
  expect((await running).code).toBe(7)
}, 60_000)

test('what a terminal prints arrives whole, to the last line', async () => {
  const { io, text } = screen()
  const script = 'i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; echo end'
  const exit = await runAttached(t.host, t.spec(['sh', '-c', script]), io)
  expect(exit.code).toBe(0)
  expect(text().split('\r\n')).toHaveLength(20_002)
  expect(text().endsWith('line 19999\r\nend\r\n')).toBe(true)
})

test('what nobody reads is typed in vain, and holds up nobody else', async () => {
  const gone = new AbortController()
  const { io, type, text } = screen(gone.signal)
  const running = runAttached(t.host, t.spec(['sh', '-c', 'echo here; exec sleep 1000']), io)
  running.catch(() => {})
  await until('it is there', () => text().includes('here'))
  type('yes\n'.repeat(250_000))
  expect((await t.run(['true'])).code).toBe(0)
  gone.abort()
  await expect(running).rejects.toThrow('Cancelled')
})

test('what is typed arrives whole, however slowly it is read', async () => {
  const { io, type, text } = screen()
  const script = `
    process.stdin.setRawMode(true)
    process.stdout.write("ready")
    let bytes = 0
    process.stdin.on("data", (chunk) => {
      bytes += chunk.length
      process.stdin.pause()
      setTimeout(() => process.stdin.resume(), 1)
      if (bytes >= 200_000) { console.log("read", bytes); process.exit(0) }
    })`
  const running = runAttached(t.host, t.spec(node(script)), io)
  await until('it reads', () => text().includes('ready'))
  type('0123456789'.repeat(20_000))
  expect((await running).code).toBe(0)
  expect(text()).toContain('read 200000')
})

test('enter is what the process is, and its exit status is exact', async () => {
  const member = await t.start(['sh', '-c', 'sleep 1000'], { env: { COLOR: 'red' } })
  const output = collector()
  const errors = collector()
  const script =
    'echo $COLOR $EXTRA $HOME; while read -r line; do case "$line" in Uid*|Cap*|Seccomp:*|NoNew*) echo "$line"; esac; done < /proc/self/status; exit 9'
  const code = await enterInstance(
    t.host,
    member,
    { argv: ['sh', '-c', script], env: { EXTRA: 'more' } },
    { stdout: output.stream, stderr: errors.stream, signal: never, timeoutMs: 60_000 },
  )
  expect(errors.text()).toBe('')
  expect(code).toBe(9)
  const [first, ...status] = output.text().trim().split('\n')
  expect(first).toBe('red more /app')
  expect(status.join('\n').replaceAll('\t', ' ')).toBe(
    [
      'Uid: 32767 32767 32767 32767',
      ...['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'].map(
        (set) => `${set}: 0000000000000000`,
      ),
      'NoNewPrivs: 1',
      'Seccomp: 2',
    ].join('\n'),
  )
  await removeInstance(t.host, member.id)
}, 60_000)

test('enter with a terminal ends with its client, and leaves nothing in the container', async () => {
  const member = await t.start(['sleep', '1000'])
  const gone = new AbortController()
  const { io, type, text } = screen(gone.signal)
  const running = enterInstance(t.host, member, { argv: shell, env: env.env }, io)
  running.catch(() => {})
  await until('the prompt is there', () => text().includes('$ '))
  type(`node -e 'require("child_process").spawn("sleep", ["4321"], {detached: true}).unref()'\r`)
  type('sleep 1234 &\r')
  const left = async () => {
    const output = collector()
    const list = 'for f in /proc/[0-9]*/cmdline; do cat $f; echo; done'
    await enterInstance(
      t.host,
      member,
      { argv: ['sh', '-c', list], env: {} },
      { stdout: output.stream, stderr: output.stream, signal: never, timeoutMs: 60_000 },
    )
    return output.text().replaceAll('\0', ' ')
  }
  await until('both are there', async () => /sleep 4321/.test(await left()))
  gone.abort()
  await expect(running).rejects.toThrow('Cancelled')
  const after = await left()
  expect(after).not.toMatch(/sleep (1234|4321)|sh -i/)
  expect(after).toContain('sleep 1000')
  await removeInstance(t.host, member.id)
  expect(traces(t.config).filter((line) => !line.includes('/idmaps/'))).toEqual([])
}, 60_000)

test('what a killed daemon left running inside is found and ended', async () => {
  const member = await t.start(['sleep', '1000'])
  const { io, text } = screen()
  const argv = ['sh', '-c', 'echo here; exec sleep 1000']
  const running = enterInstance(t.host, member, { argv, env: {} }, io)
  await until('it is there', () => text().includes('here'))
  await sweepEntered(t.host, [member.id, newId()])
  expect(await running).toBe(137)
  await removeInstance(t.host, member.id)
}, 60_000)

test('a program that is not there is said so, with the status of a shell', async () => {
  const member = await t.start(['sleep', '1000'])
  const output = collector()
  const entered = await enterInstance(
    t.host,
    member,
    { argv: ['nonsense'], env: {} },
    { stdout: output.stream, stderr: output.stream, signal: never, timeoutMs: 60_000 },
  )
  expect(entered).toBe(127)
  expect(output.text()).toMatch(/nonsense.*not found/)
  await removeInstance(t.host, member.id)
}, 60_000)
