import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { defaultLimits, limits } from '../../core/config.ts'
import { openStore, type Store } from '../../daemon/store/store.ts'

let dir: string
let store: Store
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'paas-store-'))
  store = openStore(join(dir, 'paas.db'))
})
afterEach(() => {
  store.close()
  rmSync(dir, { recursive: true })
})

const about = { cause: 'Deploy', by: 'me' }
const draft = (key: string) => ({
  commit: key,
  image: {
    layers: [{ kind: 'app' as const, key, label: key }],
    processes: { web: 'node s' },
    env: {},
    language: 'Node',
  },
  config: { A: key },
  formation: { web: 1 },
  limits: defaultLimits,
  mounts: [],
})

describe('releases', () => {
  test('are numbered within their app, and one becomes current by its commit alone', () => {
    const app = store.createApp('shop', defaultLimits)
    const other = store.createApp('blog', defaultLimits)
    const first = store.createRelease(app, draft('a'), about)
    expect([first.version, store.createRelease(other, draft('x'), about).version]).toEqual([1, 1])
    expect(store.currentRelease('shop')).toBeUndefined()
    store.commitRelease(first)
    const known = { version: 1, status: 'live', commit: 'a', image: { language: 'Node' } }
    expect(store.currentRelease('shop')).toMatchObject(known)
    expect(store.currentRelease('blog')).toBeUndefined()
    expect(store.config(app)).toEqual({ A: 'a' })
    expect(store.formation(app)).toEqual({ web: 1 })
  })

  test('that never served are marked failed, those that did are left alone', () => {
    const app = store.createApp('shop', defaultLimits)
    const [good, bad] = [draft('a'), draft('b')].map((one) => store.createRelease(app, one, about))
    if (!good || !bad) throw new Error('no releases')
    store.commitRelease(good)
    store.abandonRelease(good)
    store.abandonRelease(bad)
    expect(store.releases(app).map(({ status }) => status)).toEqual(['failed', 'live'])
    expect([...store.layerKeys()]).toEqual(['a'])
  })

  test('older than the last good ones kept are forgotten with their layers', () => {
    const app = store.createApp('shop', defaultLimits)
    for (let number = 1; number <= limits.releasesKept + 3; number += 1) {
      store.commitRelease(store.createRelease(app, draft(`key${number}`), about))
    }
    expect(store.releases(app).map(({ version }) => version)).toEqual([8, 7, 6, 5, 4])
    expect([...store.layerKeys()].sort()).toEqual(['key4', 'key5', 'key6', 'key7', 'key8'])
  })

  test('and builds that were under way when the daemon was killed have failed', () => {
    const app = store.createApp('shop', defaultLimits)
    store.createRelease(app, draft('a'), about)
    store.setBuild(store.createBuild(app, 'abc', 'me'), 'running')
    store.failUnfinished()
    expect(store.releases(app)[0]?.status).toBe('failed')
    expect(store.builds(app)[0]).toMatchObject({
      status: 'failed',
      error: 'paas was restarted meanwhile',
    })
  })
})

test('destroying an app takes all that is its own', () => {
  const app = store.createApp('shop', defaultLimits)
  store.commitRelease(store.createRelease(app, draft('a'), about))
  store.addDomain(app, 'a.example')
  store.createBuild(app, 'abc', 'me')
  store.destroyApp(app)
  expect([store.apps(), [...store.layerKeys()], store.domainOwner('a.example')]).toEqual([
    [],
    [],
    undefined,
  ])
})

test('values come back byte for byte', () => {
  const app = store.createApp('shop', defaultLimits)
  const config = { A: `'";--\n$(id) ü \u0001`, B: '', __proto__x: 'y' }
  store.setConfig(app, config)
  expect(store.config(app)).toEqual(config)
})

test('a database of a newer paas is refused, one from before a kill in a migration is opened', () => {
  const newer = join(dir, 'newer.db')
  const db = new DatabaseSync(newer)
  db.exec('pragma user_version = 999')
  db.close()
  expect(() => openStore(newer)).toThrow(/is of a newer paas/)
  const cut = join(dir, 'cut.db')
  copyFileSync(newer, `${cut}.migrating`) // half a migration, left by a kill
  const opened = openStore(cut)
  expect(opened.apps()).toEqual([])
  opened.close()
})

test('a clone has every setting of an app but those that are named here', () => {
  const [from, to] = [
    store.createApp('shop', defaultLimits),
    store.createApp('copy', defaultLimits),
  ]
  const db = new DatabaseSync(join(dir, 'paas.db'))
  const columns = db.prepare('select name from pragma_table_info(?)').all('apps')
  const own = new Set(['id', 'name', 'created_at', 'current_release'])
  const notCloned = ['deploy_branch', 'locked_by', 'maintenance']
  const settings = columns.map(({ name }) => String(name)).filter((name) => !own.has(name))
  for (const name of settings)
    db.prepare(`update apps set ${name} = 'set' where id = ?`).run(from.id)
  store.copySettings(from, to)
  const row = db.prepare('select * from apps where id = ?').get(to.id)
  db.close()
  expect(settings.filter((name) => row?.[name] !== 'set').sort()).toEqual(notCloned)
})
