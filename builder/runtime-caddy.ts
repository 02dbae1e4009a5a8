import { createHash } from 'node:crypto'
import { cp, mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { exec } from '../core/exec.ts'
import { phpServerFiles } from './php-server.ts'
import type { Runtime } from './runtime.ts'
import { debianKeyring, suite } from './stack.ts'

/** The web server of static sites and PHP: the suite's own, so that it fits the stack's libc. */
export const caddyRuntime: Runtime = {
  choose: async () => ({ version: suite, why: `Debian ${suite}`, warnings: [] }),
  layer: (version) => ({
    kind: 'runtime',
    key: `caddy-${version}-${process.arch}-${recipeHash}`,
    label: `Caddy (Debian ${version})`,
  }),
  make: async (version, dir, { signal }) => {
    const unpacked = `${dir}/unpacked`
    const args = ['--quiet', '--variant=extract', '--mode=root', '--include=caddy']
    const keyring = `--keyring=${debianKeyring()}`
    await exec('mmdebstrap', [...args, keyring, version, unpacked], { signal, timeoutMs: 300_000 })
    await mkdir(join(dir, 'usr/local/bin'), { recursive: true })
    await cp(join(unpacked, 'usr/bin/caddy'), join(dir, 'usr/local/bin/caddy'))
    await rm(unpacked, { recursive: true })
    await mkdir(join(dir, 'usr/local/etc/static'), { recursive: true })
    for (const [name, text] of Object.entries(configurations)) {
      await writeFile(join(dir, 'usr/local/etc/static', name), text)
    }
    for (const [path, text] of Object.entries(phpServerFiles())) {
      await mkdir(dirname(join(dir, path)), { recursive: true })
      await writeFile(join(dir, path), text, { mode: path.includes('/bin/') ? 0o755 : 0o644 })
    }
  },
  buildEnv: () => ({}),
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
  return `{
	admin off
	auto_https off
	storage file_system /tmp/caddy
	log {
		output stdout
		level WARN
	}
}

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
