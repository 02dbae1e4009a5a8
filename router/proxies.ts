import { coerce, lt } from 'semver'
import { limits } from '../core/config.ts'
import { page } from './pages.ts'

type Json = Record<string, unknown>

/**
 * One proxy for each count of upstreams, so that every upstream has the same share. One upstream is
 * the usual case and the quickest; for more, one expression takes the name apart, and the first
 * empty piece tells how many there are.
 */
export function proxies(facts: { caddyVersion: string }): Json[] {
  const most = limits.routeUpstreams
  const piece = '([^,/]+)'
  const counts = Array.from({ length: most - 1 }, (_, index) => index + 2)
  return [
    route(found(`${piece}$`), proxy(1, facts)),
    route(found(`${piece}${`(?:,${piece})?`.repeat(most - 1)}$`), {
      handler: 'subroute',
      routes: counts.map((count) =>
        route(count < most ? { vars: { [upstream(count + 1)]: [''] } } : {}, proxy(count, facts)),
      ),
    }),
    ...page(503),
  ]
}

function route(match: Json, handler: Json): Json {
  return { match: [match], handle: [handler], terminal: true }
}

function found(pattern: string): Json {
  const anchored = { name: 'u', pattern: `^/?h/[^/]+/${pattern}` }
  return { vars_regexp: { '{http.matchers.file.relative}': anchored } }
}

function upstream(number: number): string {
  return `{http.regexp.u.${number}}`
}

/** No health checks of Caddy's: with placeholders, one dead app would give all apps 503. */
function proxy(upstreams: number, facts: { caddyVersion: string }): Json {
  const dials = Array.from({ length: upstreams }, (_, index) => ({ dial: upstream(index + 1) }))
  return {
    handler: 'reverse_proxy',
    upstreams: dials,
    load_balancing: {
      selection_policy: { policy: 'random' },
      try_duration: '300ms',
      try_interval: '10ms',
    },
    transport: {
      protocol: 'http',
      dial_timeout: '2s',
      // Below the 5 s after which Node closes an idle connection, or requests would meet that.
      keep_alive: { idle_timeout: '4s', max_idle_conns_per_host: 32 },
    },
    ...(lt(coerce(facts.caddyVersion) ?? '0.0.0', '2.7.0') ? {} : { stream_close_delay: '10m' }),
  }
}
