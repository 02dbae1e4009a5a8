import type { PaasConfig } from '../../core/config.ts'
import { exec } from '../../core/exec.ts'
import type { Base } from '../base/base.ts'
import { envOnBase } from '../base/on-base.ts'
import { cacheTarget, type Plan, systemPath } from '../buildpack-detect/plan.ts'
import { registryEnv } from '../buildpack-detect/node-registry.ts'
import type { ChosenTool } from '../runtimes/tools.ts'

/** Environment of every step of a plan; asks npm on the host which registry it uses. */
export async function environment(
  plan: Plan,
  tools: ChosenTool[],
  { buildMemoryBytes }: PaasConfig,
  base?: Base,
): Promise<Record<string, string>> {
  const bundle = '/etc/ssl/certs/ca-certificates.crt'
  const own = {
    CI: 'true',
    HOME: '/tmp',
    LANG: 'C.UTF-8',
    PATH: [...tools.flatMap(({ path }) => path ?? []), plan.env.PATH ?? systemPath].join(':'),
    // Left alone, Node takes half of what a build may use for its heap, and dies for want of more.
    NODE_OPTIONS: `--max-old-space-size=${Math.floor((buildMemoryBytes * heapPart) / 2 ** 20)}`,
    ...(base?.has.certificates !== false && {
      NODE_EXTRA_CA_CERTS: bundle,
      PIP_CERT: bundle,
      SSL_CERT_FILE: bundle,
    }),
    npm_config_audit: 'false',
    npm_config_cache: `${cacheTarget}/npm`,
    npm_config_fund: 'false',
    npm_config_logs_max: '0',
    npm_config_update_notifier: 'false',
    ...registryEnv(await hostRegistry()),
    ...Object.assign({}, ...tools.map(({ buildEnv }) => buildEnv)),
  }
  return base ? envOnBase(base, own) : own
}

/** The rest is for what is not on the heap, and for other processes. */
const heapPart = 0.75

let registry: Promise<string> | undefined

/** The registry that npm is set to use on this host; asked once. */
async function hostRegistry(): Promise<string> {
  registry ??= exec('npm', ['config', 'get', 'registry']).then(({ stdout }) => stdout.trim())
  try {
    return await registry
  } catch (error) {
    registry = undefined
    throw error
  }
}
