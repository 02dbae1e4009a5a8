import { openHost } from '../../../runner/host.ts'
import { runAttached } from '../../../runner/run.ts'
import { startInstance } from '../../../runner/start.ts'
import { never, testConfig } from '../fixture.ts'

/**
 * A daemon to be killed: `daemon.ts ROOT SUBNET SPECS SPECS`, to start and to run attached, as
 * JSON.
 */

const [root = '', subnet, started = '[]', attached = '[]'] = process.argv.slice(2)
const host = await openHost(testConfig(root, subnet))
console.log('open')
for (const spec of JSON.parse(started)) await startInstance(host, spec, never)
const onLine = (line: string) => console.log(line)
for (const spec of JSON.parse(attached)) {
  void runAttached(host, spec, { onLine, signal: never, timeoutMs: 60_000 })
}
console.log('started')
setInterval(() => {}, 1000) // until it is killed
