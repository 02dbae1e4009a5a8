import type { PaasConfig } from '../core/config.ts'
import { limits } from '../core/config.ts'
import { paths } from '../core/names.ts'
import { pages } from './pages.ts'

/**
 * Pure: what Caddy is told, once. The configuration never changes with apps, for every change of it
 * would reload all of it; the route table is a directory that Caddy reads for each request:
 *
 *   a/<app>/<ip:port>[,<ip:port>…]   an empty file whose name is where the app's `web` listens
 *   h/<host>                         a link to the app's directory
 *   n/<app>/<host>                   the same the other way round, for us alone
 */

export type RouterFacts = {
  /** `2.6.2`: older than 2.7 does not know how to keep streams through a reload. */
  caddyVersion: string
}

const slots = limits.routeUpstreams
const upstreamPlaceholders = Array.from({ length: slots }, (_, index) => `{app.u${index + 1}}`)

/** Labels of letters, digits and "-", so that no `..`, `/` or `*` ever becomes part of a path. */
const hostPattern = '^((?:[a-z0-9-]+\\.)*[a-z0-9-]+)\\.?(?::[0-9]+)?$'
const host = '{http.regexp.host.1}'

/**
 * The file name that stands for these upstreams: one as it is, several repeated to fill all slots,
 * because Caddy chooses among a fixed number of them.
 */
export function routeName(upstreams: string[]): string {
  if (upstreams.length === 0 || upstreams.length > slots) {
    throw new RangeError(`${upstreams.length} upstreams; a route takes 1 to ${slots}`)
  }
  const count = upstreams.length === 1 ? 1 : slots
  return Array.from({ length: count }, (_, index) => upstreams[index % upstreams.length]).join(',')
}

/** The upstreams a route's file name stands for, each once. */
export function parseRouteName(name: string): string[] {
  return [...new Set(name.split(','))]
}

export function caddyConfig(config: PaasConfig, facts: RouterFacts): object {
  const { caddy, routes } = paths(config)
  const root = { root: routes }
  return {
    admin: {
      listen: `unix/${caddy}/admin.sock`,
      origins: ['paas'],
      config: { persist: false },
    },
    logging: { logs: { default: { level: 'WARN' } } },
    apps: {
      // Never touch the host's own trust store.
      pki: { certificate_authorities: { local: { install_trust: false } } },
      tls: {
        certificates: { automate: [config.domain, `*.${config.domain}`] },
        automation: { policies: [{ issuers: [{ module: 'internal' }] }] },
      },
      http: {
        grace_period: '10s', // unlimited by default: one client could pin an old configuration
        servers: {
          http: server([`:${config.httpPort}`], root, facts),
          https: {
            ...server([`:${config.httpsPort}`], root, facts),
            tls_connection_policies: [{}],
          },
          confirm: {
            listen: [`unix/${caddy}/confirm.sock`],
            automatic_https: { disable: true },
            routes: [forHost([confirmRoute(root)])],
          },
        },
      },
    },
  }
}

function server(listen: string[], root: { root: string }, facts: RouterFacts): object {
  return {
    listen,
    automatic_https: { disable: true },
    read_header_timeout: '15s', // bounds a client that sends its head a byte at a time
    idle_timeout: '2m',
    routes: [forHost([appRoute(root, facts), knownRoute(root)]), fallback],
    errors: { routes: [{ handle: [answer('{http.error.status_code}', pages.unreachable)] }] },
  }
}

/** Only for hosts that are names; what it captures is free of the port and a trailing dot. */
function forHost(routes: object[]): object {
  return {
    match: [{ header_regexp: { Host: { name: 'host', pattern: hostPattern } } }],
    handle: [{ handler: 'subroute', routes }],
  }
}

function appRoute(root: { root: string }, facts: RouterFacts): object {
  return {
    match: [{ file: { ...root, try_files: [`/h/${host}/*`] } }],
    handle: [upstreamMap, proxy(facts)],
    terminal: true,
  }
}

/** The name of the file found becomes the placeholders that the proxy dials. */
const upstreamMap = {
  handler: 'map',
  source: '{http.matchers.file.relative}',
  destinations: upstreamPlaceholders,
  mappings: [
    {
      input_regexp: '/([^/,]+)$',
      outputs: upstreamPlaceholders.map(() => '$1'),
    },
    {
      input_regexp: `/${upstreamPlaceholders.map(() => '([^/,]+)').join(',')}$`,
      outputs: upstreamPlaceholders.map((_, index) => `\${${index + 1}}`),
    },
  ],
}

function proxy(facts: RouterFacts): object {
  return {
    handler: 'reverse_proxy',
    upstreams: upstreamPlaceholders.map((dial) => ({ dial })),
    // A container that went away between look and dial: choose again for a moment.
    load_balancing: {
      selection_policy: { policy: 'random' },
      try_duration: '300ms',
      try_interval: '10ms',
    },
    transport: {
      protocol: 'http',
      dial_timeout: '2s',
      // Below what common servers (Node: 5 s) keep an idle connection for.
      keep_alive: { idle_timeout: '4s', max_idle_conns_per_host: 32 },
    },
    headers: {
      request: {
        set: {
          'X-Request-Id': ['{http.request.uuid}'],
          'X-Request-Start': ['t={time.now.unix_ms}'],
        },
        delete: ['Forwarded', 'X-Real-Ip'],
      },
    },
    ...(knowsStreamDelay(facts.caddyVersion) ? { stream_close_delay: '10m' } : {}),
  }
}

/** The app is known and nothing of it runs. */
function knownRoute(root: { root: string }): object {
  return {
    match: [{ file: { ...root, try_files: [`/h/${host}/`] } }],
    handle: [{ ...answer(503, pages.down), headers: headersWith({ 'Retry-After': ['5'] }) }],
    terminal: true,
  }
}

function confirmRoute(root: { root: string }): object {
  return {
    match: [{ file: { ...root, try_files: [`/h/${host}/*`] } }],
    handle: [{ handler: 'static_response', body: '{http.matchers.file.relative}' }],
    terminal: true,
  }
}

const fallback = { handle: [answer(404, pages.unknown)] }

function answer(status: number | string, body: string) {
  return { handler: 'static_response', status_code: status, headers: headersWith({}), body }
}

function headersWith(more: Record<string, string[]>): Record<string, string[]> {
  return {
    'Content-Type': ['text/html; charset=utf-8'],
    'Cache-Control': ['no-store'],
    ...more,
  }
}

function knowsStreamDelay(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major > 2 || (major === 2 && minor >= 7)
}
