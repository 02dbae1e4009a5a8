import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { readConfig } from '../core/config.ts'
import { exec } from '../core/exec.ts'
import { forget, isInstalled } from './installed.ts'
import { ownsService, removeService, stopService } from './service.ts'
import { repository, say, script } from './script.ts'

/** Stops this instance; with `--purge` removes its state, and its installation where it has one. */
await script(async () => {
  const { purge } = parseArgs({ options: { purge: { type: 'boolean', default: false } } }).values
  const config = readConfig(process.env)
  const service = ownsService(config)
  if (service) await stopService()
  const { code } = await exec(
    process.execPath,
    [join(repository, 'daemon/down.ts'), ...(purge ? ['--purge'] : [])],
    { timeoutMs: 5 * 60_000 + config.graceTimeoutMs, onLine: say, accept: [0, 1, 2, 75] },
  )
  if (code !== 0) {
    process.exitCode = code // it has said why
    return
  }
  if (purge && service) await removeService()
  if (purge && isInstalled(config)) await forget()
  say(purge ? `-----> Stopped, and ${config.home} removed` : `-----> Stopped; ${config.home} stays`)
})
