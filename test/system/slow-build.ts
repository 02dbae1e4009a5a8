import { kernelNames } from '../../core/names.ts'
import { nodeApp, type Paas } from './instance.ts'
import { cgroupProcesses } from './leaks.ts'

/** An app whose build says so and takes a while; `wake` ends that. */
export function slowBuild(body: string, seconds: number) {
  const build = `echo building-${body}; sleep ${seconds}; echo built-${body}`
  return {
    ...nodeApp(body),
    'package.json': JSON.stringify({ scripts: { start: 'node server.js', build } }),
  }
}

/** What sleeps in the builds and processes of an instance. */
export function sleepers({ config }: Paas) {
  return cgroupProcesses(kernelNames(config).cgroupParent).filter(({ name }) => name === 'sleep')
}

export function wake(paas: Paas): void {
  for (const { pid } of sleepers(paas)) process.kill(pid)
}
