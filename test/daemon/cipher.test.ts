import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { defaultLimits } from '../../core/config.ts'
import { openStore } from '../../daemon/store/store.ts'

let dir: string
beforeEach(() => void (dir = mkdtempSync(join(tmpdir(), 'paas-cipher-'))))
afterEach(() => rmSync(dir, { recursive: true }))

const secret = 'correct-horse-battery-staple'
const image = { layers: [], processes: { web: 'x' }, env: {}, language: 'Node' }

function fileHolding(text: string): string[] {
  return readdirSync(dir).filter((name) => readFileSync(join(dir, name)).includes(text))
}

test('config is sealed in every row, and the key is for root alone', () => {
  const store = openStore(join(dir, 'paas.db'))
  const app = store.createApp('shop', defaultLimits)
  store.setGlobalConfig({ G: `${secret}-global` })
  store.setConfig(app, { A: secret })
  const draft = {
    commit: null,
    image,
    config: { A: secret },
    formation: {},
    limits: defaultLimits,
    mounts: [],
  }
  store.commitRelease(store.createRelease(app, draft, { cause: 'Set A', by: 'me' }))
  expect(fileHolding(secret)).toEqual([])
  expect(store.currentRelease('shop')).toMatchObject({
    config: { A: secret },
    globals: { G: `${secret}-global` },
  })
  store.close()
  expect(fileHolding(secret)).toEqual([])
  expect(statSync(join(dir, 'config.key')).mode & 0o777).toBe(0o600)
  const again = openStore(join(dir, 'paas.db'))
  expect(again.config(app)).toEqual({ A: secret })
  again.close()
})

test('a missing, cut or other key is a failure that says so, never a new key', () => {
  const store = openStore(join(dir, 'paas.db'))
  const app = store.createApp('shop', defaultLimits)
  store.setConfig(app, { A: secret })
  store.close()
  const key = readFileSync(join(dir, 'config.key'))
  rmSync(join(dir, 'config.key'))
  expect(() => openStore(join(dir, 'paas.db'))).toThrow(/config\.key, is missing/)
  expect(readdirSync(dir)).not.toContain('config.key')
  writeFileSync(join(dir, 'config.key'), key.subarray(1))
  expect(() => openStore(join(dir, 'paas.db'))).toThrow(/holds 31 bytes instead of 32/)
  writeFileSync(join(dir, 'config.key'), Buffer.alloc(32))
  const wrong = openStore(join(dir, 'paas.db'))
  expect(() => wrong.config(app)).toThrow(/does not open the config/)
  wrong.close()
})

test('plain config of an older paas is sealed at the first start, and no copy stays', () => {
  const path = join(dir, 'paas.db')
  const store = openStore(path)
  const app = store.createApp('shop', defaultLimits)
  const draft = {
    commit: null,
    image,
    config: {},
    formation: {},
    limits: defaultLimits,
    mounts: [],
  }
  store.createRelease(app, draft, { cause: 'Set A', by: 'me' })
  store.close()
  const db = new DatabaseSync(path)
  const plain = JSON.stringify({ A: secret })
  db.prepare('update apps set config = ?').run(plain)
  db.prepare('update releases set config = ?').run(plain)
  const drain = { url: `https://me:${secret}@logs.example/`, anywhere: false }
  db.prepare('insert into drains values (?, ?, ?, ?)').run(app.id, drain.url, '', 0)
  db.close()
  expect(fileHolding(secret)).toEqual(['paas.db'])
  const newer = openStore(path)
  expect(newer.config(app)).toEqual({ A: secret })
  expect(newer.releases(app)[0]?.config).toEqual({ A: secret })
  newer.addDrain(app, { ...drain, anywhere: true })
  expect(newer.drains(app)).toEqual([{ ...drain, anywhere: true }])
  expect(newer.removeDrain(app, drain.url)).toBe(true)
  expect(newer.drains(app)).toEqual([])
  newer.addDrain(app, drain)
  expect(fileHolding(secret)).toEqual([])
  newer.close()
  expect(fileHolding(secret)).toEqual([])
})
