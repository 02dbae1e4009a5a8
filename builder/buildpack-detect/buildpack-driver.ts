/** Where the n-th buildpack lies in the root of a build, without the leading slash. */
export function installed(number: number): string {
  return `opt/buildpacks/${number}`
}

/** Where a step with `configFiles` finds the app's config, one file a key. */
export const configTarget = '/var/cache/config'

/** What the last buildpack with a bin/release has said, below the directory of the app. */
export const releaseFile = '.paas/release.yml'

/**
 * Runs buildpacks in order, as Heroku does: bin/detect, bin/compile with the directories of the
 * app, of its cache and of its config, `export` for those that follow, bin/release. Arguments: the
 * place and the name of each. bin/detect is asked too: one that does not fit is an error.
 */
export const driver = `
set -eu
build=$PWD cache=$BUILDPACK_CACHE config=${configTarget}
unset BUILDPACK_CACHE
export HOME=$build
if [ -f "$config/STACK" ]; then STACK=$(cat "$config/STACK"); fi
mkdir -p "$cache" .paas /tmp/buildpacks
rm -f ${releaseFile}
stop() { printf '%s\\n' "$1" >&2; exit 1; }
while [ $# -gt 0 ]; do
  place=$1 shown=$2
  shift 2
  case $place in
    ./*)
      copy=$(mktemp -d -p /tmp/buildpacks)
      cp -R -- "$place/." "$copy"
      place=$copy
      ;;
  esac
  for program in detect compile; do
    [ -x "$place/bin/$program" ] || stop "$shown: bin/$program is not there, or not executable"
  done
  name=$("$place/bin/detect" "$build") ||
  stop "$shown: bin/detect says that it does not fit this app"
  printf '=====> %s (%s)\\n' "$name" "$shown"
  "$place/bin/compile" "$build" "$cache" "$config" || {
    code=$?
    printf '%s: bin/compile exited with %s\\n' "$shown" "$code" >&2
    exit "$code"
  }
  if [ -f "$place/export" ]; then
    set +eu
    . "$place/export"
    set -eu
  fi
  if [ -x "$place/bin/release" ]; then "$place/bin/release" "$build" > ${releaseFile}; fi
done
`
