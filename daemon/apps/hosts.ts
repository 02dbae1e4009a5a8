import type { PaasConfig } from '../../core/config.ts'
import { Failure } from '../../core/errors.ts'
import type { App } from '../../core/types.ts'
import type { Store } from '../store/store.ts'

/** Which names an app answers to. */

export function defaultHost(config: PaasConfig, app: string): string {
  return `${app}.${config.domain}`
}

export function appHosts(config: PaasConfig, store: Store, app: App): string[] {
  return [defaultHost(config, app.name), ...store.domains(app)]
}

/** Where a person can open the app; the port only when it is not the usual one. */
export function appUrls(config: PaasConfig, store: Store, app: App): string[] {
  const port = config.httpPort === 80 ? '' : `:${config.httpPort}`
  return appHosts(config, store, app).map((host) => `http://${host}${port}`)
}

/** Throws when another app answers to `host`, by `domains:add` or by its own name. */
export function refuseTakenHost(config: PaasConfig, store: Store, host: string, app: string): void {
  const suffix = `.${config.domain}`
  const label = host.endsWith(suffix) ? host.slice(0, -suffix.length) : undefined
  if (label !== undefined && label !== app && !label.includes('.')) {
    throw new Failure('failed', `${host} is the name of the app "${label}", there or to come`, {
      hint: `Names directly under ${config.domain} go with the apps' own names`,
    })
  }
  const owner = store.domainOwner(host)
  if (owner === undefined || owner === app) return
  throw new Failure('failed', `${host} already belongs to the app "${owner}"`, {
    hint: `To move it: domains:remove ${owner} ${host}`,
  })
}
