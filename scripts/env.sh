# Sourced by the scripts beside it, never run: where this instance is, and which Node runs it.
# Sets `here` (the repository), PATH (Node 24 first, where it is installed) and, on a server that
# ./scripts/install has set up, its PAAS_* settings.

PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
here=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)

# The versions brought from npm where the host's own Node is older than 24.
node_version=24.21.0
npm_version=11.19.1
node_home=/opt/paas/node-$node_version

# One instance's settings are never mixed with another's: any PAAS_ variable set by hand wins over
# the whole file.
if [ -r /etc/paas.env ] && ! env | grep -q '^PAAS_'; then
  set -a
  . /etc/paas.env
  set +a
fi

if [ -x "$node_home/bin/node" ]; then
  PATH=$node_home/bin:$PATH
fi
export PATH
# The router runs as a user of its own and must be able to pass through the state directory.
umask 022
# Compiled scripts are kept between starts: 60 ms less for each command.
export NODE_COMPILE_CACHE="${PAAS_CACHE:-/var/cache/paas}/compiled"

# A message and the way out, as paas prints them everywhere.
fail() {
  printf ' !     %s\n' "$@" >&2
  exit 1
}
