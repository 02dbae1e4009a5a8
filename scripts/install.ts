import { hostname } from 'node:os'
import { parseArgs } from 'node:util'
import { ensureStack } from '../builder/stack/stack.ts'
import { readConfig } from '../core/config.ts'
import { Failure } from '../core/errors.ts'
import { remember } from './installed.ts'
import { type NamedKey, readKeys } from './keys.ts'
import { repository, say, script } from './script.ts'
import { addService, hasSystemd } from './service.ts'
import { sshConfigBlock } from './ssh-config.ts'
import { paas, startDaemon } from './start.ts'

/** Makes this machine a paas server: stack, service, `paas` command, the first keys. */
await script(async () => {
  const { key } = parseArgs({ options: { key: { type: 'string', multiple: true } } }).values
  const keys = await readKeys(key)
  const config = readConfig(process.env)
  say('-----> Making the stack')
  await ensureStack(config, say)
  say('-----> Starting the daemon and the router')
  await remember(process.env, repository)
  if (hasSystemd()) await addService(repository)
  const outcome = await startDaemon(config)
  if (outcome === 'running') say('       running already')
  if (!hasSystemd()) say(' !     There is no systemd here: run this again after a reboot')
  say('-----> Letting keys in')
  await letIn(keys)
  say('-----> For ~/.ssh/config on your own machine')
  const hostName = config.domain === 'localhost' ? hostname() : config.domain
  say(sshConfigBlock({ hostName, port: config.sshPort }))
})

async function letIn(keys: NamedKey[]): Promise<void> {
  for (const { name, line } of keys) {
    try {
      say((await paas(['keys:add', name], { input: line })).stdout.trimEnd())
    } catch (error) {
      if (!(error instanceof Failure)) throw error
      say(`       ${name}: ${error.message.split(' !     ').at(-1)}`) // known already, mostly
    }
  }
  if ((await paas(['keys:list'])).stdout.trim()) return
  say(' !     Nobody can push yet. On your own machine:')
  say(` !     ssh root@${hostname()} paas keys:add me < ~/.ssh/id_ed25519.pub`)
}
