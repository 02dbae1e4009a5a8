import { posix } from 'node:path'
import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'
import type { Source } from '../source/source.ts'
import type { Composer } from './php-composer.ts'

/** Where a PHP app's pages are, below the root of the tree, and which rule found it. */
export type DocumentRoot = { folder: string; from: string }

/** The first folder that has an index.php, in the order of how sure it is that it is meant. */
const folders = ['public', 'web', 'webroot', 'pub', 'htdocs', 'html', 'www', 'docroot', '']

/** Undefined when no folder has an index.php: perhaps it serves nothing. */
export function documentRoot(
  source: Source,
  composer: Composer | undefined,
): DocumentRoot | undefined {
  const given = composer?.documentRoot
  if (given !== undefined) return givenRoot(source, given)
  const folder = folders.find((name) => source.isFile(posix.join(name, 'index.php')))
  return folder === undefined ? undefined : { folder, from: posix.join(folder, 'index.php') }
}

/** What PHP and the server before it are told, as environment that the app's config may change. */
export function serverEnv(
  source: Source,
  composer: Composer | undefined,
  root: DocumentRoot | undefined,
): Record<string, string> {
  const folder = root?.folder ?? ''
  const front = hasFrontController(source, composer, folder)
  return {
    PHP_ROOT: posix.join('/app', folder).replace(/\/$/, ''),
    // What follows stands in Caddy's configuration as it is.
    PHP_FRONT: front ? 'index.php' : '',
    PHP_HIDDEN: hidden(composer, folder).join(' '),
    XDG_CONFIG_HOME: '/tmp',
    XDG_DATA_HOME: '/tmp',
  }
}

function givenRoot(source: Source, given: string): DocumentRoot {
  const folder = posix.normalize(posix.join('/', given)).slice(1).replace(/\/$/, '')
  const from = 'extra.heroku.document-root in composer.json'
  if (source.isDirectory(folder)) return { folder, from }
  throw new Failure('failed', `PHP detected, but there is no folder "${printable(given)}"`, {
    hint: `Mend ${from}, commit and push again`,
  })
}

/** Whether addresses without a file are the app's. A tree of single pages answers 404 to them. */
function hasFrontController(
  source: Source,
  composer: Composer | undefined,
  folder: string,
): boolean {
  if (composer || source.isFile(posix.join(folder, 'wp-load.php'))) return true
  const rules = source.readText(posix.join(folder, '.htaccess'), 256 * 1024) ?? ''
  return /^\s*(RewriteRule\s.*\bindex\.php|FallbackResource\s+\/?index\.php)/im.test(rules)
}

/** Files at the top of a tree are the builder's, Composer's and npm's, and nobody's to read. */
function hidden(composer: Composer | undefined, folder: string): string[] {
  const always = ['/Procfile', '/paas.toml', '/app.json']
  if (folder !== '' || !composer) return always
  return [...always, '/composer.*', '/vendor/*', '/package*.json', '/node_modules/*']
}
