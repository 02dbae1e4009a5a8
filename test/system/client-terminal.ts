import { readFileSync } from 'node:fs'
import { spawnGroup, waitForEnd } from '../../core/exec.ts'
import { openPty } from '../../runner/pty.ts'
import { until } from './instance.ts'

/** A person at a terminal of 80 by 24, who types and looks, in front of a real client program. */
export function sitAt(file: string, args: string[], env: Record<string, string>) {
  const pty = openPty({ columns: 80, rows: 24 })
  // With -c the client has it as its controlling terminal, as in a window: sizes come by SIGWINCH.
  const child = spawnGroup('setsid', ['-c', '-w', file, ...args], {
    stdio: [pty.program, pty.program, pty.program],
    env: { ...env, TERM: 'xterm-256color' },
  })
  pty.closeProgram()
  let seen = ''
  pty.output.on('data', (chunk: Buffer) => (seen += chunk.toString('utf8')))
  for (const stream of [pty.output, pty.typed]) stream.on('error', () => {}) // the client has left
  const ended = waitForEnd(child, { timeoutMs: 120_000 })
  return {
    type: (text: string) => void pty.typed.write(text),
    resize: pty.resize,
    text: () => seen,
    async see(what: RegExp): Promise<void> {
      await until(`the screen to show ${what}`, () => what.test(seen), 30_000).catch((error) => {
        throw new Error(`${error.message}; it shows ${JSON.stringify(seen.slice(-1000))}`)
      })
    },
    /** As when the machine it runs on loses power. */
    kill: () => process.kill(clientOf(child.pid), 'SIGKILL'),
    /** The client's exit status. */
    ended,
  }
}

/** `setsid` waits for its only child. */
function clientOf(pid: number | undefined): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8'))
}
