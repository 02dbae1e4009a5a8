import { expect, test } from 'vitest'
import { limits, readConfig } from '../../core/config.ts'
import { caddyConfig } from '../../router/routes.ts'

const config = readConfig({
  PAAS_HOME: '/srv/paas',
  PAAS_RUN: '/run/paas',
  PAAS_HTTP_PORT: '8080',
  PAAS_HTTPS_PORT: '8443',
  PAAS_DOMAIN: 'apps.test',
})
const text = (caddyVersion: string) => JSON.stringify(caddyConfig(config, { caddyVersion }))

test('the configuration is constant: the same instance always gives the same text', () => {
  expect(text('2.6.2')).toBe(text('v2.6.2'))
})

test('it has one proxy for each count of upstreams, and as many dials as that count', () => {
  const counts = text('2.6.2')
    .split('"handler":"reverse_proxy"')
    .slice(1)
    .map((piece) => piece.split('"dial":').length - 1)
  const each = Array.from({ length: limits.routeUpstreams }, (_, index) => index + 1)
  expect(counts).toEqual([...each, ...each]) // http and https
})

test('streams are kept through a reload where Caddy knows how', () => {
  expect(text('2.6.2')).not.toContain('stream_close_delay')
  expect(text('v2.11.4 h1:abc=')).toContain('stream_close_delay')
})

test('the admin API listens on a unix socket alone, and no certificate is asked of the world', () => {
  const whole = text('2.6.2')
  expect(caddyConfig(config, { caddyVersion: '2.6.2' }).admin).toEqual({
    listen: 'unix//run/paas/caddy/sockets/admin.sock',
    origins: ['paas'],
    config: { persist: false },
  })
  expect(whole).toContain('"install_trust":false')
  expect(whole).not.toContain('acme')
  expect(whole).not.toContain('on_demand')
})

test('cookies and tokens do not reach the access log', () => {
  expect(text('2.6.2')).toContain('"request>headers":{"filter":"delete"}')
})
