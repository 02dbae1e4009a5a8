import { createInterface } from 'node:readline'
import { Failure } from '../../core/errors.ts'
import type { Call } from './command.ts'

const answerTimeoutMs = 60_000

/** Asks a person to type a name before something is destroyed; `--force` answers for them. */
export async function confirmByName(call: Call, name: string, warning: string): Promise<void> {
  if (call.force) return
  if (!call.session.tty) {
    throw new Failure('failed', `${call.command.name} needs a person at a terminal to confirm`, {
      hint: `Without one: ${call.command.name} ${name} --force`,
    })
  }
  call.session.stderr.write(` !     ${warning}\n`)
  const typed = await ask(call, ` !     Type "${name}" to go on: `)
  if (typed !== name) throw new Failure('failed', `"${name}" was not typed; nothing was changed`)
}

async function ask(call: Call, question: string): Promise<string> {
  const { stdin, stderr, signal } = call.session
  const lines = createInterface({
    input: stdin,
    output: stderr,
    terminal: call.session.tty !== null,
  })
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(answerTimeoutMs)])
  const give = () => reject(new Failure('failed', 'No answer came; nothing was changed'))
  deadline.addEventListener('abort', give)
  lines.once('close', give).once('SIGINT', give)
  lines.question(question, resolve)
  try {
    return (await promise).trim()
  } finally {
    deadline.removeEventListener('abort', give)
    lines.close()
  }
}
