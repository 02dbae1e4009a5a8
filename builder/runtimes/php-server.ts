/**
 * What serves a PHP app: Caddy before PHP-FPM, both of the suite, as the app user. Files of the
 * layer that has Caddy, by their paths; those in bin/ may be run.
 */
export function phpServerFiles(): Record<string, string> {
  return {
    'usr/local/bin/php-web': script,
    // Procfiles that were written for Heroku have these names.
    'usr/local/bin/heroku-php-apache2': forward,
    'usr/local/bin/heroku-php-nginx': forward,
    'usr/local/etc/php-web/fpm.conf': pool,
    'usr/local/etc/php-web/caddyfile': caddyfile,
  }
}

const forward = '#!/bin/sh\nexec php-web "$@"\n'

/**
 * FPM first: as soon as the port is open, requests come. It leads a session of its own, where the
 * signals to the process do not reach it: at the end Caddy answers what is open, then FPM goes.
 */
const script = `#!/bin/bash
set -u
if [[ \${1:-} == -* ]]; then
  echo "php-web: $1 is not supported: php-web [document root]" >&2
  exit 64
fi
PHP_ROOT=$(realpath --canonicalize-existing -- "\${1:-\${PHP_ROOT:-.}}") || exit 66
memory=$(cat /sys/fs/cgroup/memory.max 2>/dev/null)
[[ \${memory:-max} == max ]] && memory=536870912
workers=$((memory / 67108864))
: "\${WEB_CONCURRENCY:=$((workers < 2 ? 2 : workers > 64 ? 64 : workers))}"
export PHP_ROOT WEB_CONCURRENCY
trap 'ending=yes' TERM INT
for program in /usr/sbin/php-fpm*; do :; done
rm -f /tmp/php-fpm.sock
"$program" --nodaemonize --force-stderr --fpm-config /usr/local/etc/php-web/fpm.conf \\
  -d expose_php=0 -d log_errors=1 -d session.save_path=/tmp -d session.gc_probability=1 &
fpm=$!
until [[ -S /tmp/php-fpm.sock ]]; do
  kill -0 "$fpm" 2>/dev/null || { echo 'php-web: PHP-FPM did not start' >&2; exit 1; }
  sleep 0.02
done
caddy run --adapter caddyfile --config /usr/local/etc/php-web/caddyfile &
caddy=$!
wait -n
if [[ -z \${ending:-} ]]; then
  echo 'php-web: PHP-FPM or Caddy ended' >&2
  kill "$caddy" 2>/dev/null
fi
wait "$caddy"
kill -QUIT "$fpm" 2>/dev/null
wait "$fpm"
[[ -n \${ending:-} ]]
`

const pool = `[global]
daemonize = no
error_log = /dev/null
log_level = warning

[app]
listen = /tmp/php-fpm.sock
pm = dynamic
pm.max_children = \${WEB_CONCURRENCY}
pm.start_servers = 1
pm.min_spare_servers = 1
pm.max_spare_servers = 2
clear_env = no
catch_workers_output = yes
decorate_workers_output = no
`

/** Of a Caddy in an app's container: what it says goes to the app's log, and it asks nobody. */
export const caddyOptions = `{
	admin off
	auto_https off
	storage file_system /tmp/caddy
	log {
		output stdout
		level WARN
	}
}
`

/** The router is the only one that can reach it; what it says of a request is true. */
const caddyfile = `${caddyOptions}
:{$PORT} {
	root * {$PHP_ROOT}
	map {header.X-Forwarded-Proto} {php_https} {
		https on
		default ""
	}
	map {header.X-Forwarded-For} {client} {
		~^([^,\\s]+) "\${1}"
		default {remote_host}
	}
	@wellKnown path /.well-known/*
	@hidden path */.* {$PHP_HIDDEN}
	handle @wellKnown {
		file_server
	}
	handle @hidden {
		error 404
	}
	handle {
		encode gzip
		php_fastcgi unix//tmp/php-fpm.sock {
			try_files {path} {path}/index.php {$PHP_FRONT}
			trusted_proxies private_ranges
			env HTTPS {php_https}
			env REMOTE_ADDR {client}
		}
		file_server
	}
	log {
		output stdout
		format console
	}
}
`
