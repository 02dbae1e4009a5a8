import { expect, test } from 'vitest'
import { maskAddresses, maskValue } from '../../core/mask.ts'
import { parseAppName, parseConfigKey } from '../../core/names.ts'

test.each([
  ['https://example.com/shop.git#v1', 'https://example.com/shop.git#v1'],
  ['https://example.com:8443/a@b', 'https://example.com:8443/a@b'],
  ['https://me:secret@example.com/shop', 'https://***@example.com/shop'],
  ['https://secret@example.com/shop', 'https://***@example.com/shop'],
  ['https://me:sec@ret@example.com/shop', 'https://***@example.com/shop'],
  ['https://me:sec/ret@example.com/shop', 'https://***@example.com/shop'],
  ['https://me:sec?r#et@example.com/shop', 'https://***@example.com/shop'],
  ['https://me:sec ret@example.com/shop', 'https://***@example.com/shop'],
  ['HTTPS://me:secret@example.com', 'HTTPS://***@example.com'],
  ['ssh://git@example.com:2222/shop', 'ssh://git@example.com:2222/shop'],
  ['ssh://git:secret@example.com/shop', 'ssh://***@example.com/shop'],
  ['git@example.com:shop.git', 'git@example.com:shop.git'],
  ['https://x.example/?token=secret&b=secret#top', 'https://x.example/?token=***&b=***#top'],
  ['https://x.example/in?secret', 'https://x.example/in?***'],
  ["fatal: no 'https://me:secret@x.example/a/': 403", "fatal: no 'https://***@x.example/a/': 403"],
])('%s is repeated as %s', (text, shown) => {
  expect(maskAddresses(text)).toBe(shown)
  expect(maskAddresses(shown)).toBe(shown)
})

test('A long word of many addresses is read in no time', () => {
  const began = performance.now()
  for (const one of ['a://a:x', 'a://', 'a.a.', 'a://b?']) maskAddresses(one.repeat(20_000))
  expect(performance.now() - began).toBeLessThan(2000)
})

test('Of KEY=VALUE the key alone is repeated, also where a name is wanted', () => {
  expect(['A=b=c', 'A', '='].map(maskValue)).toEqual(['A=***', 'A', '=***'])
  expect(() => parseConfigKey('KEY=secret')).toThrow('"KEY=***" is not a config key')
  expect(() => parseAppName('KEY=secret')).toThrow('"KEY=***" is not an app name')
})
