import { appPort, type PaasConfig } from '../core/config.ts'
import type { App, Instance } from '../core/types.ts'
import type { Router } from '../router/caddy.ts'
import { hidePage, showPage } from '../router/maintenance.ts'
import {
  isPublished,
  listRoutes,
  publish,
  removeApp,
  renameApp,
  replaceRoute,
  setHosts,
} from '../router/switch.ts'
import type { Fleet, Member } from './fleet/fleet.ts'
import { appHosts } from './apps/hosts.ts'
import { differences } from './fleet/differences.ts'
import { processType } from './fleet/processes.ts'
import type { Store } from './store/store.ts'

/** Which containers an app's names lead to, as the router is told. */
export type Routes = ReturnType<typeof openRoutes>

export function openRoutes(config: PaasConfig, store: Store, fleet: Fleet, router: () => Router) {
  /** Points the app's names at the `web` processes among `instances`. */
  async function point(app: App, instances: Instance[]): Promise<void> {
    syncHosts(app)
    const closed = pageOf(app) !== null
    await publish(router(), app.name, closed ? [] : upstreamsOf(instances))
    if (!closed) hidePage(router(), appHosts(config, store, app))
  }

  function isPointed(app: App, instances: Instance[]): boolean {
    const hosts = appHosts(config, store, app)
    const upstreams = upstreamsOf(instances)
    return pageOf(app) === null && isPublished(router(), app.name, { upstreams, hosts })
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
      const serving = servingOf(store, fleet, app.name)
      // Most of the time most apps are as they should be: a look at a thousand must cost little.
      if (!isPointed(app, serving)) await point(app, serving)
    },
    remove: (app: string) => removeApp(router(), app),
    rename: (from: string, to: string) => renameApp(router(), from, to),
    /**
     * Mends what a killed daemon has left, once the fleet is known and before anything starts: a
     * new container may get any address that none has, and no old route may lead there.
     */
    sweep(): void {
      sweepApps(router(), store)
      sweepAddresses(router(), store, fleet)
    },
  }
}

/** What runs of an app's committed release, but for what is to go. */
function servingOf(store: Store, fleet: Fleet, app: string): Instance[] {
  const members = fleet.of(app)
  const release = members.length > 0 ? store.currentRelease(app) : undefined
  const { surplus } = differences(members, release)
  return members
    .filter(({ release: version }) => version === release?.version)
    .filter((member) => isServing(member) && !surplus.includes(member))
}

/** Removes the routes of apps that do not exist; those of one with a new name move there. */
function sweepApps(router: Router, store: Store): void {
  const known = new Set(store.apps().map(({ name }) => name))
  for (const [app, { hosts }] of listRoutes(router)) {
    if (known.has(app)) continue
    const heir = hosts.map((host) => store.domainOwner(host)).find((owner) => owner)
    if (heir) renameApp(router, app, heir)
    else removeApp(router, app)
  }
}

/** Replaces the routes to addresses where nothing of their app serves. */
function sweepAddresses(router: Router, store: Store, fleet: Fleet): void {
  for (const [app, { upstreams }] of listRoutes(router)) {
    if (upstreams.length === 0) continue
    const there = new Set(upstreamsOf(fleet.of(app).filter(isServing)))
    if (upstreams.every((upstream) => there.has(upstream))) continue
    replaceRoute(router, app, upstreamsOf(servingOf(store, fleet, app)))
  }
}

function isServing({ state }: Member): boolean {
  return state === 'live' || state === 'unwatched'
}

function upstreamsOf(instances: Instance[]): string[] {
  const web = instances.filter(({ process }) => processType(process) === 'web')
  return web.map(({ address, port = appPort }) => `${address}:${port}`)
}
