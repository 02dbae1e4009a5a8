import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { exec, spawnGroup } from '../../core/exec.ts'
import { newId } from '../../core/names.ts'

/** Runs an unpacked image as it is, by runc alone, without anything of paas. */
export async function runBundle(bundle: string) {
  const file = join(bundle, 'config.json')
  const config = JSON.parse(readFileSync(file, 'utf8'))
  config.process.terminal = false
  config.linux.namespaces = [...config.linux.namespaces, { type: 'network' }].filter(
    ({ type }, index, all) => all.findIndex((one) => one.type === type) === index,
  )
  writeFileSync(file, JSON.stringify(config))
  const id = `plain-${newId()}`
  const root = join(bundle, 'state')
  const runc = (...args: string[]) => exec('runc', ['--root', root, ...args], { accept: [0, 1] })
  const child = spawnGroup('runc', ['--root', root, 'run', '--bundle', bundle, id], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const deadline = Date.now() + 60_000
  return {
    /** The body of an answer on the container's own loopback, asked for from within. */
    async get(port: number): Promise<string> {
      for (;;) {
        const { pid = 0 } = await state()
        if (pid > 0) {
          const inside = ['-t', String(pid), '-n', '--']
          await exec('nsenter', [...inside, 'ip', 'link', 'set', 'lo', 'up'])
          const url = `http://127.0.0.1:${port}/`
          const ask = ['curl', '-sf', '--noproxy', '*', url]
          const { code, stdout } = await exec('nsenter', [...inside, ...ask], {
            accept: [0, 7, 56],
          })
          if (code === 0) return stdout
        }
        if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}`)
        if (Date.now() > deadline) throw new Error('it did not answer in time')
        await pause(50)
      }
    },
    async [Symbol.asyncDispose](): Promise<void> {
      await runc('kill', id, 'KILL')
      await runc('delete', '--force', id)
    },
  }

  async function state(): Promise<{ pid?: number }> {
    const { code, stdout } = await runc('state', id)
    return code === 0 ? JSON.parse(stdout) : {}
  }
}
