import { newId } from '../../core/names.ts'
import type { Layer } from '../../core/types.ts'
import { parseSubnet } from '../../runner/address.ts'
import { waitUntilReady } from '../../runner/health.ts'
import type { Host } from '../../runner/host.ts'
import { startInstance } from '../../runner/start.ts'
import { stopInstance } from '../../runner/stop.ts'

/**
 * Milliseconds from nothing to a container of ours that accepts on its port; no daemon, no router.
 */
export async function containerStart(host: Host, layers: Layer[]): Promise<number> {
  const { config } = host
  const { signal } = new AbortController()
  const id = newId()
  const address = parseSubnet(config.subnet).gateway.replace(/\d+$/, '250')
  const spec = {
    id,
    address,
    layers,
    app: 'shop',
    process: 'web.9',
    release: 0,
    argv: ['node', 'server.js'],
    env: { PORT: '5000' },
    limits: { memoryBytes: 2 ** 29, cpus: 1, pids: 512 },
  }
  const began = performance.now()
  const instance = await startInstance(host, spec, signal)
  const waiting = { timeoutMs: 10_000, signal, warn: () => {} }
  await waitUntilReady(host, instance, { port: 5000 }, waiting)
  const took = performance.now() - began
  await stopInstance(host, id, { graceMs: 1000 })
  return took
}
