import { posix } from 'node:path'
import type { LanguagePlan } from './plan.ts'

/** Files that are served as they are. Paths that are no file get index.html where it is a `spa`. */
export type Site = { root: string; spa: boolean }

/** How a real web server serves a folder of /app. */
export function servedFiles({ root, spa }: Site): Pick<LanguagePlan, 'tools' | 'env'> & {
  command: string
} {
  return {
    tools: [
      {
        tool: 'caddy',
        constraint: undefined,
        pin: undefined,
        choose: 'a Procfile with a web server of your own',
        inImage: true,
      },
    ],
    env: {
      STATIC_ROOT: posix.join('/app', root).replace(/\/$/, ''),
      XDG_CONFIG_HOME: '/tmp',
      XDG_DATA_HOME: '/tmp',
    },
    command: `caddy run --adapter caddyfile --config /usr/local/etc/static/${spa ? 'spa' : 'site'}.caddyfile`,
  }
}
