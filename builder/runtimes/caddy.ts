import { createHash } from 'node:crypto'
import { cp, mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Failure } from '../../core/errors.ts'
import { paths } from '../../core/names.ts'
import type { Layer } from '../../core/types.ts'
import { type AptIndex, aptIndex } from '../stack/apt-index.ts'
import { runInChroot } from '../stack/chroot.ts'
import { caddyOptions, phpServerFiles } from './php-server.ts'
import type { Runtime, RuntimeContext } from './runtime.ts'
import { ensureStack, stackLayers, suite } from '../stack/stack.ts'

/** The web server of static sites and PHP: the suite's own, so that it fits the stack's libc. */
export const caddyRuntime: Runtime = {
  choose: async (_request, context) => {
    const { config, say, signal } = context
    await ensureStack(config, say, signal)
    const version = caddyVersion(await aptIndex(config, context))
    return { version, why: `Debian ${suite}`, warnings: [] }
  },
  layer: caddyLayer,
  make: makeCaddy,
  buildEnv: () => ({}),
}

/** The version that the suite has: Debian's own words for it, for its fixes change only these. */
export function caddyVersion(index: AptIndex): string {
  const version = index.version('caddy')
  if (version !== undefined) return version
  throw new Failure('temporary', `Debian ${suite} does not list Caddy`)
}

export function caddyLayer(version: string): Layer {
  const safe = version.replace(/[^\w.+~-]/g, '_')
  return {
    kind: 'runtime',
    key: `caddy-${safe}-${process.arch}-${recipeHash}`,
    label: `Caddy ${version}`,
  }
}

/**
 * Whether a layer has Caddy, and if so whether with the settings that images expect today: those of
 * another paas may read other words from an image's environment.
 */
export function caddyIn({ kind, key }: Layer): 'none' | 'same settings' | 'other settings' {
  if (kind !== 'runtime' || !key.startsWith('caddy-')) return 'none'
  return key.endsWith(`-${recipeHash}`) ? 'same settings' : 'other settings'
}

const fetchTimeoutMs = 5 * 60_000

const fetch = `
set -e
cd /var/cache/apt/archives
apt-get --quiet download "caddy=$1"
dpkg-deb --extract caddy_*.deb /unpacked
`

async function makeCaddy(version: string, dir: string, context: RuntimeContext): Promise<void> {
  const { config, signal } = context
  const { lists } = await aptIndex(config, context)
  const upper = join(dir, 'fetched')
  await mkdir(upper)
  const argv = ['sh', '-c', fetch, 'sh', version]
  const lowers = [paths(config).layer(stackLayers(config).run)]
  await runInChroot({ lowers, upper, lists, argv, signal, timeoutMs: fetchTimeoutMs })
  await mkdir(join(dir, 'usr/local/bin'), { recursive: true })
  await cp(join(upper, 'unpacked/usr/bin/caddy'), join(dir, 'usr/local/bin/caddy'))
  await rm(upper, { recursive: true })
  await mkdir(join(dir, 'usr/local/etc/static'), { recursive: true })
  for (const [name, text] of Object.entries(configurations)) {
    await writeFile(join(dir, 'usr/local/etc/static', name), text)
  }
  for (const [path, text] of Object.entries(phpServerFiles())) {
    await mkdir(dirname(join(dir, path)), { recursive: true })
    await writeFile(join(dir, path), text, { mode: path.includes('/bin/') ? 0o755 : 0o644 })
  }
}

const configurations = {
  'site.caddyfile': caddyfile('try_files {path} {path}/ {path}.html'),
  'spa.caddyfile': caddyfile('try_files {path} {path}/ {path}.html /index.html'),
}

const recipeHash = createHash('sha256')
  .update(JSON.stringify([configurations, phpServerFiles()]))
  .digest('hex')
  .slice(0, 8)

/** TLS, compression of the wire to the world and access logs of it are the router's. */
function caddyfile(tryFiles: string): string {
  return `${caddyOptions}
:{$PORT} {
	root * {$STATIC_ROOT}
	@hidden path */.* /Procfile /Staticfile /app.json /paas.toml /static.json
	{$STATIC_RULES}
	@wellKnown path /.well-known/*
	handle @wellKnown {
		file_server
	}
	handle @hidden {
		error 404
	}
	handle {
		${tryFiles}
		encode gzip
		file_server
	}
	handle_errors {
		@page file {$STATIC_ERROR_PAGE:/404.html}
		handle @page {
			rewrite * {$STATIC_ERROR_PAGE:/404.html}
			file_server
		}
		handle {
			respond "{http.error.status_code} {http.error.status_text}"
		}
	}
	log {
		output stdout
		format console
	}
}
`
}
