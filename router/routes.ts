import { join } from 'node:path'
import type { PaasConfig } from '../core/config.ts'
import { paths } from '../core/names.ts'
import { page } from './pages.ts'
import { proxies } from './proxies.ts'

/**
 * Caddy's configuration, which never changes while apps come and go: the table of routes is a
 * directory that Caddy reads at every request, so that a switch is one file and no reload.
 *
 *   routes/a/<app>/<ip:port>[,<ip:port>…]   an empty file; its name is where the app answers
 *   routes/h/<host> -> ../a/<app>           the names an app answers to
 *   routes/m/<host>                         what stands in for it while it has no upstream
 */

export type CaddyConfig = Record<string, unknown>

type Json = Record<string, unknown>

/** Where the router's pieces lie. Sockets are in a directory that only Caddy and root enter. */
export function routerPaths(config: PaasConfig) {
  const { certificates: state, caddy, routes } = paths(config)
  const sockets = join(caddy, 'sockets')
  return {
    /** Belongs to Caddy's user: certificates and logs, which outlive a reboot. */
    state,
    log: join(state, 'caddy.log'),
    accessLog: join(state, 'access.log'),
    /** What a client must trust for `https://<app>.<domain>`. */
    rootCertificate: join(state, 'pki/authorities/local/root.crt'),
    run: caddy,
    config: join(caddy, 'caddy.json'),
    pid: join(caddy, 'caddy.pid'),
    startLog: join(caddy, 'start.log'),
    sockets,
    adminSocket: join(sockets, 'admin.sock'),
    confirmSocket: join(sockets, 'confirm.sock'),
    routes,
    apps: join(routes, 'a'),
    hosts: join(routes, 'h'),
    pages: join(routes, 'm'),
  }
}

/** The name by which our client must call the admin API; any other is refused. */
export const adminHost = 'paas'

/** The whole configuration. `facts.caddyVersion` is that of the program which will read it. */
export function caddyConfig(config: PaasConfig, facts: { caddyVersion: string }): CaddyConfig {
  const at = routerPaths(config)
  const names = [config.domain, `*.${config.domain}`]
  const serve = serveRoutes(at.routes, facts)
  return {
    admin: {
      listen: `unix/${at.adminSocket}`,
      origins: [adminHost],
      config: { persist: false },
    },
    logging: { logs: logs(at) },
    storage: { module: 'file_system', root: at.state },
    apps: {
      // Caddy would otherwise write its root into the host's trust store.
      pki: { certificate_authorities: { local: { install_trust: false } } },
      tls: {
        certificates: { automate: names },
        automation: { policies: [{ subjects: names, issuers: [{ module: 'internal' }] }] },
      },
      http: {
        grace_period: '10s', // unlimited by default: one open download would block a stop for ever
        servers: {
          http: { ...server(config.httpPort), ...serve },
          https: { ...server(config.httpsPort), ...serve, tls_connection_policies: [{}] },
          confirm: confirmServer(at),
        },
      },
    },
  }
}

function logs(at: { log: string; accessLog: string }): Json {
  const without = { filter: 'delete' }
  return {
    default: { level: 'WARN', exclude: ['http.log.access'], writer: logFile(at.log, 8) },
    access: {
      level: 'INFO',
      include: ['http.log.access'],
      writer: logFile(at.accessLog, 32),
      encoder: {
        format: 'filter',
        wrap: { format: 'json' },
        fields: {
          'request>headers': without, // cookies and tokens do not belong on disk
          'request>tls': without,
          resp_headers: without,
        },
      },
    },
  }
}

function logFile(filename: string, megabytes: number): Json {
  return {
    output: 'file',
    filename,
    roll_size_mb: megabytes,
    roll_keep: 2,
    roll_gzip: false,
  }
}

function server(port: number): Json {
  return {
    listen: [`:${port}`],
    protocols: ['h1', 'h2'],
    automatic_https: { disable: true },
    logs: {},
    // Headers must come soon; bodies and answers may take as long as the app allows.
    read_header_timeout: '10s',
    idle_timeout: '2m',
    max_header_bytes: 64 * 1024,
  }
}

/** What a request meets, in order: a clean Host, the app's route, or a page that says why not. */
function serveRoutes(root: string, facts: { caddyVersion: string }): Json {
  return {
    routes: [
      cleanHost(),
      {
        match: [upstreamsOfHost(root), upstreamsOfHost(root)],
        handle: [requestHeaders, upstreamInLog, { handler: 'subroute', routes: proxies(facts) }],
        terminal: true,
      },
      ownPage(root),
      {
        match: [{ file: { root, try_files: ['/h/{http.request.host}/'] } }],
        handle: [{ handler: 'subroute', routes: page(503) }],
        terminal: true,
      },
      ...page(404),
    ],
    errors: {
      routes: [
        {
          match: [{ vars: { '{http.error.status_code}': ['502', '503', '504'] } }],
          handle: [{ handler: 'subroute', routes: page(502) }],
          terminal: true,
        },
      ],
    },
  }
}

/** The app's page for its time of maintenance, whatever the path and method. */
function ownPage(root: string): Json {
  return {
    match: [{ file: { root, try_files: ['/m/{http.request.host}'] } }],
    handle: [
      {
        handler: 'headers',
        request: { delete: ['If-*', 'Range'] },
        response: {
          set: {
            'Content-Type': ['text/html; charset=utf-8'],
            'Cache-Control': ['no-store'],
            'Retry-After': ['60'],
          },
        },
      },
      { handler: 'rewrite', method: 'GET', uri: '{http.matchers.file.relative}' },
      { handler: 'file_server', root, status_code: '503' },
    ],
    terminal: true,
  }
}

/** Lets only clean names through to the file matcher: no capitals, globs, slashes or `..`. */
const strictHost = {
  header_regexp: { Host: { pattern: '^[a-z0-9-]+(\\.[a-z0-9-]+)*(:[0-9]+)?$' } },
}

/** Cheap for clean names. Capitals and a final dot are mended; anything else ends here. */
function cleanHost(): Json {
  const letters = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZ']
  const mends = [
    ...letters.map((letter) => ({ search: letter, replace: letter.toLowerCase() })),
    { search_regexp: '\\.(:[0-9]+)?$', replace: '$1' },
  ]
  return {
    match: [{ not: [strictHost] }],
    handle: [
      {
        handler: 'subroute',
        routes: [
          { handle: [{ handler: 'headers', request: { replace: { Host: mends } } }] },
          {
            match: [{ not: [strictHost] }],
            handle: [{ handler: 'subroute', routes: page(404) }],
            terminal: true,
          },
        ],
      },
    ],
  }
}

/**
 * Finds the file whose name is the upstreams; of two (a switch is under way) the newer. Stands
 * twice where it is used: a name that was listed and gone when Caddy looked at it is no answer, and
 * the second look, which costs nothing otherwise, finds its successor.
 */
function upstreamsOfHost(root: string): Json {
  const names = '/h/{http.request.host}/*'
  return { file: { root, try_files: [names], try_policy: 'most_recently_modified' } }
}

/** Apps can rely on these headers: whatever the client sent under their names is gone. */
const requestHeaders = {
  handler: 'headers',
  request: {
    // Caddy itself then sets X-Forwarded-For, -Proto and -Host. Many runtimes read `_` as `-`. What
    // is set below must match none of these: it is set first.
    delete: [
      ...['X-Forwarded*', 'X_Forwarded*', 'X-Real-*', 'X-Real_*', 'X_Real*'],
      ...['X-Request_*', 'X_Request*', 'Forwarded', 'Proxy'],
    ],
    set: {
      'X-Request-Id': ['{http.request.uuid}'],
      'X-Request-Start': ['{time.now.unix_ms}'],
    },
  },
}

/**
 * The log of requests has no field for who answered, and one for a user that we have no use for:
 * evaluated when the line is written, it names the upstream (`ip:port`).
 */
const upstreamInLog = {
  handler: 'map',
  source: '{http.reverse_proxy.upstream.hostport}',
  destinations: ['{http.auth.user.id}'],
  defaults: ['{http.reverse_proxy.upstream.hostport}'],
}

/**
 * Tells our daemon what the running Caddy sees for a Host, found in the same way as for a request:
 * so a switch is confirmed from the router's side without a request to the app.
 */
function confirmServer(at: { confirmSocket: string; routes: string }): Json {
  return {
    listen: [`unix/${at.confirmSocket}`],
    automatic_https: { disable: true },
    protocols: ['h1'],
    routes: [
      {
        match: [upstreamsOfHost(at.routes)],
        handle: [{ handler: 'static_response', body: '{http.matchers.file.relative}' }],
        terminal: true,
      },
      { handle: [{ handler: 'static_response' }], terminal: true },
    ],
  }
}
