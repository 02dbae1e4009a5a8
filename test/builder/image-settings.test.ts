import { describe, expect, test } from 'vitest'
import { choosePlatform, toConfig } from '../../builder/image/documents.ts'
import { architecture } from '../../builder/image/oci.ts'
import { isLoopback, parseReference, referenceText } from '../../builder/image/reference.ts'
import { findUser, runSettings } from '../../builder/image/run-settings.ts'
import { planLayers } from '../../builder/image/take.ts'

const files = {
  passwd: 'root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1001::/home/node:/bin/sh\n',
  group: 'root:x:0:\nnode:x:1001:\nstaff:x:50:node,other\n',
}
const config = (run: object, more: object = {}) =>
  toConfig({
    os: 'linux',
    architecture: architecture(),
    rootfs: { diff_ids: [] },
    config: run,
    ...more,
  })
const digest = (at: number) => `sha256:${String(at).padStart(64, '0')}`

describe('the name of an image', () => {
  test.each([
    ['nginx', 'docker.io', 'library/nginx', undefined],
    ['nginx:1.27', 'docker.io', 'library/nginx', '1.27'],
    ['team/shop', 'docker.io', 'team/shop', undefined],
    ['localhost/shop', 'localhost', 'shop', undefined],
    ['registry.example.com:5000/a/b/shop:v1', 'registry.example.com:5000', 'a/b/shop', 'v1'],
  ])('%s', (text, host, repository, tag) => {
    expect(parseReference(text)).toEqual({ host, repository, ...(tag && { tag }) })
    expect(referenceText(parseReference(text))).toBe(text)
  })

  test('may have a digest, alone or behind a tag', () => {
    const text = `quay.io/x/y:v1@${digest(7)}`
    expect(parseReference(text)).toMatchObject({ tag: 'v1', digest: digest(7) })
  })

  test.each([
    '',
    'UPPER',
    'a b',
    'x@sha256:12',
    '../etc',
    'host.com/',
    '-x',
    'a//b:',
    'h.com:99x/a',
  ])('"%s" is none', (text) => expect(() => parseReference(text)).toThrow(/is not the (name|host)/))

  test('is of this machine whichever way the loopback is written', () => {
    const own = [
      'localhost:5000',
      '127.0.0.1',
      '127.9.9.9:80',
      '[::1]:5000',
      '0.0.0.0',
      'a.localhost',
    ]
    expect(own.map(isLoopback)).toEqual(own.map(() => true))
    expect(['docker.io', '10.0.0.1:5000', 'localhost.example.com'].map(isLoopback)).toContain(false)
  })
})

describe('an image says how it runs', () => {
  test('in its words exactly, with the lowest of its ports', () => {
    const ports = { '8443/tcp': {}, '8080/tcp': {}, '53/udp': {} }
    const said = { Entrypoint: ['/bin/it', '--'], Cmd: ['a b', '$X'], ExposedPorts: ports }
    const more = { Env: ['A=b=c', 'EMPTY='], WorkingDir: '/srv', User: 'node' }
    expect(runSettings(config({ ...said, ...more }), files)).toEqual({
      processes: { web: `/bin/it -- 'a b' '$X'` },
      commands: { web: ['/bin/it', '--', 'a b', '$X'] },
      env: { HOME: '/home/node', A: 'b=c', EMPTY: '' },
      workdir: '/srv',
      user: { uid: 1000, gid: 1001, groups: [50] },
      port: 8080,
    })
  })

  test('with other types where paas made it, and with an error where it says nothing', () => {
    const processes = { web: 'old', worker: 'node worker.js', 'not a type': 'x' }
    const Labels = { 'paas.processes': JSON.stringify(processes) }
    const settings = runSettings(config({ Labels, Cmd: ['new'] }), files)
    expect(settings.processes).toEqual({ web: 'new', worker: 'node worker.js' })
    expect(settings.commands).toEqual({ web: ['new'] })
    expect(() => runSettings(config({}), files)).toThrow('does not say what it runs')
  })

  test.each([
    ['', { uid: 0, gid: 0, home: '/root' }],
    ['root', { uid: 0, gid: 0, home: '/root' }],
    ['node', { uid: 1000, gid: 1001, groups: [50], home: '/home/node' }],
    ['1000', { uid: 1000, gid: 1001, groups: [50], home: '/home/node' }],
    ['1000:staff', { uid: 1000, gid: 50, home: '/home/node' }],
    ['4242', { uid: 4242, gid: 0, home: '/' }],
    ['4242:77', { uid: 4242, gid: 77, home: '/' }],
  ])('as user "%s"', (user, wanted) => expect(findUser(user, files)).toEqual(wanted))

  test('of users that it has not', () => {
    const sentence = 'whom it has not'
    for (const user of ['nobody-here', 'node:nogroup', '65536', '70000:0', '-1']) {
      expect(() => findUser(user, files)).toThrow(sentence)
    }
    expect(findUser('root', { passwd: '', group: '' })).toMatchObject({ uid: 0, home: '/root' })
  })

  test('for which machine it is', () => {
    expect(() => config({}, { architecture: 's390x' })).toThrow('is for linux/s390x')
    const entry = (built: string, at: number) => ({
      mediaType: '',
      digest: digest(at),
      size: 1,
      platform: { os: 'linux', architecture: built },
    })
    const manifests = [entry('s390x', 1), entry(architecture(), 2), entry('unknown', 3)]
    expect(choosePlatform({ manifests }).digest).toBe(digest(2))
    expect(() => choosePlatform({ manifests: [entry('s390x', 1)] })).toThrow('not there for linux')
  })
})

test('the lowest of very many layers are laid into one', () => {
  const layers = Array.from({ length: 60 }, (_, at) => ({
    diffId: digest(at),
    fetch: () => Promise.reject(new Error('nobody fetches')),
  }))
  const of = (count: number) =>
    planLayers({ name: 'x', config: config({}), layers: layers.slice(0, count) })
  expect([of(1).length, of(24).length, of(25).length, of(60).length]).toEqual([1, 24, 24, 24])
  expect(of(60)[0]?.parts).toHaveLength(37)
  expect(of(10)[3]?.layer.key).toBe(of(20)[3]?.layer.key)
  expect(of(25)[0]?.layer.key).not.toBe(of(24)[0]?.layer.key)
})
