import { appPort, type PaasConfig } from '../core/config.ts'
import type { App, Instance } from '../core/types.ts'
import type { Router } from '../router/caddy.ts'
import { hidePage, showPage } from '../router/maintenance.ts'
import { listRoutes, publish, removeApp, setHosts } from '../router/switch.ts'
import type { Fleet } from './fleet.ts'
import { appHosts } from './hosts.ts'
import { processType } from './processes.ts'
import type { Store } from './store/store.ts'

/** Which containers an app's names lead to, as the router is told. */
export type Routes = ReturnType<typeof openRoutes>

export function openRoutes(config: PaasConfig, store: Store, fleet: Fleet, router: () => Router) {
  /** Points the app's names at the `web` processes among `instances`. */
  async function point(app: App, instances: Instance[]): Promise<void> {
    syncHosts(app)
    const web = instances.filter(({ process }) => processType(process) === 'web')
    const upstreams = web.map(({ address, port = appPort }) => `${address}:${port}`)
    const closed = pageOf(app) !== null
    await publish(router(), app.name, closed ? [] : upstreams)
    if (!closed) hidePage(router(), appHosts(config, store, app))
  }

  /** As it is set now: `app` may have been read before its turn came. */
  function pageOf({ name }: App): string | null {
    return store.findApp(name)?.maintenance ?? null
  }

  function syncHosts(app: App): void {
    const hosts = appHosts(config, store, app)
    setHosts(router(), app.name, hosts)
    const page = pageOf(app)
    if (page !== null) showPage(router(), hosts, page)
  }

  return {
    point,
    syncHosts,
    /** Points the app's names at what its committed release runs. */
    async pointAtCurrent(app: App): Promise<void> {
      const release = store.currentRelease(app.name)
      const serving = fleet
        .of(app.name)
        .filter(({ release: version }) => version === release?.version)
        .filter(({ state }) => state === 'live' || state === 'unwatched')
      await point(app, serving)
    },
    remove: (app: string) => removeApp(router(), app),
    /** Removes the routes of apps that do not exist. */
    sweep(): void {
      const known = new Set(store.apps().map(({ name }) => name))
      for (const app of listRoutes(router()).keys()) {
        if (!known.has(app)) removeApp(router(), app)
      }
    },
  }
}
