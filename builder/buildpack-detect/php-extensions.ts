/**
 * The Debian packages of some extensions of PHP, less the `php8.4-` that begins them all. An
 * extension that no package here has is taken for the name of one: apt says so when it is not.
 */
export function packagesOf(extensions: string[]): string[] {
  const names = extensions.map((one) => one.toLowerCase().replace(/^zend-/, ''))
  const wanted = names.filter((name) => !builtIn.has(name))
  return [...new Set(wanted.map((name) => packageWith[name] ?? name.replaceAll('_', '-')))].sort()
}

/**
 * What every app has: most need no more, and so share one layer. Databases are a choice of the
 * config, and trees without Composer do not say what they need.
 */
export const usualExtensions = [
  'bcmath',
  'curl',
  'gd',
  'intl',
  'mbstring',
  'mysqli',
  'pgsql',
  'sqlite3',
  'xml',
  'zip',
]

/** Part of the interpreter or of the packages that every app has. */
const builtIn = new Set([
  'calendar',
  'core',
  'ctype',
  'date',
  'exif',
  'ffi',
  'fileinfo',
  'filter',
  'ftp',
  'gettext',
  'hash',
  'iconv',
  'json',
  'libxml',
  'opcache',
  'openssl',
  'pcntl',
  'pcre',
  'pdo',
  'phar',
  'posix',
  'random',
  'readline',
  'reflection',
  'session',
  'shmop',
  'sockets',
  'sodium',
  'spl',
  'standard',
  'sysvmsg',
  'sysvsem',
  'sysvshm',
  'tokenizer',
  'zlib',
])

const packageWith: Record<string, string> = {
  dom: 'xml',
  mysqli: 'mysql',
  mysqlnd: 'mysql',
  pdo_dblib: 'sybase',
  pdo_firebird: 'interbase',
  pdo_mysql: 'mysql',
  pdo_odbc: 'odbc',
  pdo_pgsql: 'pgsql',
  pdo_sqlite: 'sqlite3',
  simplexml: 'xml',
  xmlreader: 'xml',
  xmlwriter: 'xml',
  xsl: 'xml',
}
