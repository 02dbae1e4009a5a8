import { expect, test } from 'vitest'
import { readConfig } from '../../core/config.ts'

test.each([
  [{ PAAS_SSH_PORT: '0' }, 'PAAS_SSH_PORT is "0": expected a port from 1 to 65535'],
  [{ PAAS_HTTP_PORT: '0x50' }, 'PAAS_HTTP_PORT is "0x50": expected a port from 1 to 65535'],
  [{ PAAS_HTTPS_PORT: '65536' }, 'PAAS_HTTPS_PORT is "65536": expected a port from 1 to 65535'],
  [{ PAAS_HTTP_PORT: '2222' }, 'PAAS_SSH_PORT and PAAS_HTTP_PORT are both 2222'],
  [{ PAAS_METRICS_PORT: '443' }, 'PAAS_HTTPS_PORT and PAAS_METRICS_PORT are both 443'],
  [{ PAAS_DOMAIN: 'a..b' }, 'PAAS_DOMAIN is "a..b": expected a name like apps.example.com'],
  [{ PAAS_DOMAIN: 'a.-b' }, 'PAAS_DOMAIN is "a.-b": expected a name like apps.example.com'],
  [{ PAAS_SUBNET: '10.0.0.0/30' }, 'PAAS_SUBNET is "10.0.0.0/30": expected IPv4 CIDR'],
  [{ PAAS_SUBNET: '127.0.0.0/8' }, 'PAAS_SUBNET is "127.0.0.0/8": no host can have such'],
  [{ PAAS_SUBNET: '239.1.0.0/16' }, 'PAAS_SUBNET is "239.1.0.0/16": no host can have such'],
  [{ PAAS_READY_TIMEOUT: '1e9' }, 'PAAS_READY_TIMEOUT is "1e9": expected a number of seconds'],
  [{ PAAS_GRACE_TIMEOUT: '-1' }, 'PAAS_GRACE_TIMEOUT is "-1": expected a number of seconds'],
  [{ PAAS_RUN: '/' }, 'PAAS_RUN is /, and PAAS_HOME lies there: /var/lib/paas'],
  [{ PAAS_RUN: '/srv/x', PAAS_HOME: '/srv/x' }, 'PAAS_RUN is /srv/x, and PAAS_HOME lies there'],
  [{ PAAS_RUN: '/var/cache' }, 'PAAS_RUN is /var/cache, and PAAS_CACHE lies there'],
  [{ PAAS_RUN: `/${'x'.repeat(80)}` }, 'PAAS_RUN is longer than 70 bytes'],
])('a setting that cannot be is refused and named: %o', (env, message) => {
  expect(() => readConfig(env)).toThrow(message)
})

test('settings have defaults, and a run directory may lie in the state directory', () => {
  expect(readConfig({ PAAS_METRICS_PORT: '' })).toMatchObject({
    home: '/var/lib/paas',
    run: '/run/paas',
    sshPort: 2222,
    metricsPort: undefined,
  })
  const inside = { PAAS_HOME: '/srv/paas', PAAS_RUN: '/srv/paas/run', PAAS_CACHE: '/srv/paas/c' }
  expect(readConfig(inside).run).toBe('/srv/paas/run')
})
