import { closeSync, constants, openSync, writeSync } from 'node:fs'
import { Socket } from 'node:net'
import { join } from 'node:path'
import { makePipe } from './kernel.ts'

/**
 * Where a runtime that creates and starts in one go is held between the two. Its hook waits there;
 * should this process die, the pipe ends, the hook fails and the container with it.
 */
export type Gate = {
  /** The container's pid once the runtime has come here, undefined when the gate closes before. */
  pid: Promise<number | undefined>
  /** Lets the runtime go on. */
  open: () => void
  close: () => void
}

/** The hook as the container's configuration has it. Pure. */
export function gateHook(bundle: string): { path: string; args: string[] } {
  return { path: join(import.meta.dirname, 'waiting-hook'), args: pipes(bundle) }
}

/** Makes the pipes that the hook expects in the bundle. */
export function makeGate(bundle: string): Gate {
  const [created, joined] = pipes(bundle).map((path) => {
    makePipe(path, 0o600)
    // Both ways, so that neither side waits for the other to open it.
    return openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
  })
  if (created === undefined || joined === undefined) throw new Error('A gate has two pipes')
  const socket = new Socket({ fd: created, readable: true, writable: false })
  const { promise, resolve } = Promise.withResolvers<number | undefined>()
  let text = ''
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
    if (text.endsWith('\n')) resolve(pidOf(JSON.parse(text)))
  })
  socket.once('error', () => {}).once('close', () => resolve(undefined))
  return {
    pid: promise,
    open: () => void writeSync(joined, '\n'),
    close: () => {
      socket.destroy()
      closeSync(joined)
    },
  }
}

function pipes(bundle: string): string[] {
  return [join(bundle, 'created'), join(bundle, 'joined')]
}

function pidOf(state: unknown): number | undefined {
  if (typeof state !== 'object' || state === null || !('pid' in state)) return undefined
  return Number(state.pid)
}
