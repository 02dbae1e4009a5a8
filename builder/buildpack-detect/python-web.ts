import type { Source } from '../source/source.ts'
import type { Step } from './plan.ts'

type Web = { command: string; from: string }

/** How a tree's web process starts: by what it requires, and where the app object is. */
export function pythonWeb(source: Source, names: Set<string>): Web | undefined {
  return django(source, names) ?? asgi(source, names) ?? wsgi(source, names) ?? plain(source)
}

/** `collectstatic`, where the settings say where to. */
export function djangoSteps(source: Source, on: string[]): Step[] {
  if (!source.isFile('manage.py')) return []
  const texts = settingsFiles(source).map((file) => source.readText(file, settingsBytes) ?? '')
  if (!texts.some((text) => /^\s*STATIC_ROOT\s*=/m.test(text))) return []
  const asked = texts.flatMap((text) => [...text.matchAll(environmentKey)])
  return [
    {
      name: 'static files',
      kind: 'build',
      title: 'python manage.py collectstatic --noinput',
      argv: ['sh', '-c', collectStatic],
      env: {},
      configKeys: [...new Set(['DISABLE_COLLECTSTATIC', ...asked.map(([, key = '']) => key)])],
      configPrefixes: [],
      inputs: { kind: 'tree', why: 'every file' },
      on,
      inImage: true,
      shareable: false,
      drop: [],
      hint: 'Try it at home; or do without: config:set <app> DISABLE_COLLECTSTATIC=1',
    },
  ]
}

const settingsBytes = 256 * 1024

/** `os.environ["KEY"]`, `os.getenv("KEY")`, `env("KEY")`, `config("KEY")` */
const environmentKey =
  /\b(?:environ(?:\.get)?|getenv|env(?:\.\w+)?|config)\s*[[(]\s*['"]([A-Z][A-Z0-9_]*)['"]/g

const collectStatic =
  'test "${DISABLE_COLLECTSTATIC:-0}" = 0 || exit 0; exec python3 manage.py collectstatic --noinput'

function settingsFiles(source: Source): string[] {
  return pythonFiles(source).filter((file) => /(^|\/)settings(\/[^/]+)?\.py$/.test(file))
}

/** Those at the root, and one or two folders down. */
function pythonFiles(source: Source): string[] {
  const folders = source
    .list()
    .filter((name) => name.endsWith('/') && !/^(\.|node_modules|venv|vendor|tests?\/)/.test(name))
    .slice(0, 50)
  const below = folders.flatMap((folder) =>
    source.list(folder).flatMap((name) => {
      const path = folder + name
      return name.endsWith('/') ? source.list(path).map((one) => path + one) : [path]
    }),
  )
  return [...source.list(), ...below].filter((path) => path.endsWith('.py'))
}

function django(source: Source, names: Set<string>): Web | undefined {
  if (!source.isFile('manage.py')) return undefined
  const file = pythonFiles(source).find((path) => /(^|\/)wsgi\.py$/.test(path))
  if (file && names.has('gunicorn')) {
    return { command: `gunicorn --bind 0.0.0.0:$PORT ${moduleOf(file)}`, from: file }
  }
  return { command: 'python3 manage.py runserver 0.0.0.0:$PORT', from: 'manage.py' }
}

function asgi(source: Source, names: Set<string>): Web | undefined {
  if (!['fastapi', 'starlette', 'litestar'].some((name) => names.has(name))) return undefined
  const app = findApp(source, /^(\w+)\s*(?::[^=]+)?=\s*(?:\w+\.)?(?:FastAPI|Starlette|Litestar)\(/m)
  if (!app) return undefined
  if (names.has('uvicorn')) {
    return { command: `uvicorn ${app.name} --host 0.0.0.0 --port $PORT`, from: app.file }
  }
  if (names.has('hypercorn')) {
    return { command: `hypercorn --bind 0.0.0.0:$PORT ${app.name}`, from: app.file }
  }
  // `fastapi[standard]` brings its own server.
  return { command: `fastapi run ${app.file} --port $PORT`, from: app.file }
}

function wsgi(source: Source, names: Set<string>): Web | undefined {
  if (!['flask', 'bottle', 'falcon'].some((name) => names.has(name))) return undefined
  const app = findApp(
    source,
    /^(\w+)\s*(?::[^=]+)?=\s*(?:\w+\.)*(?:Flask|Bottle|App|create_app)\(/m,
  )
  if (!app) return undefined
  if (names.has('gunicorn')) {
    return { command: `gunicorn --bind 0.0.0.0:$PORT ${app.name}`, from: app.file }
  }
  if (!names.has('flask')) return { command: `python3 ${app.file}`, from: app.file }
  return { command: `flask --app ${app.name} run --host 0.0.0.0 --port $PORT`, from: app.file }
}

const usualFiles = ['app.py', 'main.py', 'server.py', 'wsgi.py', 'asgi.py', 'run.py', 'index.py']

function isUsual(file: string): boolean {
  return usualFiles.includes(file.replace(/^.*\//, ''))
}

/** A module and the name in it that holds the app, as servers want it: `shop.main:app`. */
function findApp(source: Source, made: RegExp): { name: string; file: string } | undefined {
  const files = pythonFiles(source)
  for (const file of [...files.filter(isUsual), ...files.filter((one) => !isUsual(one))].slice(
    0,
    200,
  )) {
    const name = made.exec(source.readText(file, settingsBytes) ?? '')?.[1]
    if (name) return { name: `${moduleOf(file)}:${name}`, file }
  }
  return undefined
}

function plain(source: Source): Web | undefined {
  const file = usualFiles.find((name) => source.isFile(name))
  return file === undefined ? undefined : { command: `python3 ${file}`, from: file }
}

/** `src/shop/__init__.py` is `shop`. */
function moduleOf(file: string): string {
  const path = file.replace(/^src\//, '').replace(/(\/__init__)?\.py$/, '')
  return path.replaceAll('/', '.')
}
