import { createServer } from 'node:http'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { bundledPlugins, loadPlugins } from '../../plugins/load.ts'
import type { TriggerName } from '../../plugins/names.ts'
import { listens, trigger } from '../../plugins/trigger.ts'

/** The bundled sample against a real server. */

const received: { type: string | undefined; body: unknown }[] = []
let status = 204
const server = createServer(async (incoming, response) => {
  const chunks: Buffer[] = []
  for await (const chunk of incoming) chunks.push(chunk)
  const body: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'))
  received.push({ type: incoming.headers['content-type'], body })
  response.writeHead(status).end()
})
let url = ''
const said: string[] = []
const say = (line: string) => void said.push(line)
const plugins = loadPlugins([bundledPlugins], new Map([['deploy-webhook', true]]))

beforeAll(async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  server.listen(0, '127.0.0.1', resolve)
  await promise
  const address = server.address()
  if (typeof address === 'object' && address) url = `http://127.0.0.1:${address.port}/hook`
})
beforeEach(() => {
  received.splice(0)
  said.splice(0)
  status = 204
})
afterAll(() => void server.close())

test('it is off until it is enabled', () => {
  expect(listens(loadPlugins([bundledPlugins], new Map()), 'post-deploy')).toBe(false)
  expect(listens(plugins, 'post-deploy')).toBe(true)
  expect(listens(plugins, 'deploy-failed')).toBe(true)
})

test('a deploy is posted as JSON', async () => {
  await fire('post-deploy', { DEPLOY_WEBHOOK_URL: url })
  expect(received).toEqual([
    {
      type: 'application/json',
      body: {
        event: 'deployed',
        app: 'shop',
        url: 'http://shop.apps.test',
        release: 'v7',
        commit: 'a1b2c3',
        error: null,
      },
    },
  ])
  expect(said).toEqual(['       Told the webhook that shop runs v7'])
})

test('a failed deploy is posted too', async () => {
  await fire('deploy-failed', { DEPLOY_WEBHOOK_URL: url }, { error: 'web did not answer' })
  expect(received).toMatchObject([{ body: { event: 'failed', error: 'web did not answer' } }])
})

test('an app without the URL is left in peace', async () => {
  await fire('post-deploy', {})
  expect({ received, said }).toEqual({ received: [], said: [] })
})

test('an answer that is an error, and no answer at all, are warnings', async () => {
  status = 500
  await fire('post-deploy', { DEPLOY_WEBHOOK_URL: url })
  expect(said).toEqual([
    '       the webhook answered 500',
    ' !     Plugin "deploy-webhook" failed in post-deploy: it exited with 1',
  ])
  said.splice(0)
  await fire('post-deploy', { DEPLOY_WEBHOOK_URL: 'http://127.0.0.1:1/' })
  expect(said.at(-1)).toBe(' !     Plugin "deploy-webhook" failed in post-deploy: it exited with 1')
})

function fire(name: TriggerName, config: Record<string, string>, more: object = {}) {
  const facts = { app: 'shop', urls: ['http://shop.apps.test'], release: 'v7', commit: 'a1b2c3' }
  const json = { ...facts, error: null, config, ...more }
  return trigger(plugins, { name, args: [], vars: {}, json }, { say, timeoutMs: 20_000 })
}
