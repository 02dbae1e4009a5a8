import { expect, test } from 'vitest'
import { rebase } from '../../builder/stack/rebase.ts'
import { caddyLayer } from '../../builder/runtimes/caddy.ts'
import type { Image, Layer } from '../../core/types.ts'

const layer = (kind: Layer['kind'], key: string): Layer => ({ kind, key, label: key })
const today = { stack: layer('stack', 'stack-new'), caddy: caddyLayer('2.9.0-1') }
const image = (layers: Layer[], more: Partial<Image> = {}): Image => ({
  ...{ layers, processes: {}, env: {}, language: 'node' },
  ...more,
})
const [old, code] = [layer('stack', 'stack-old'), layer('app', 'app-1')]

test('An image goes to the stack and the web server of today, and keeps what was built', () => {
  const moved = rebase(image([old, caddyLayer('2.6.0-1'), code]), today, () => false)
  expect(moved).toEqual({ image: image([today.stack, today.caddy, code]), apt: [] })
})

test('Debian packages are asked for anew, upon the new stack', () => {
  const packages = { ...layer('apt', 'apt-1'), packages: ['sl'] }
  const { image: moved, apt } = rebase(image([old, packages, code]), today, () => false)
  expect(apt.map((one) => one.layer)).toEqual([moved.layers[1]])
  expect(moved.layers[1]?.key).not.toBe('apt-1')
  expect(moved.layers[1]?.packages).toEqual(['sl'])
})

const base = { name: 'localhost:1/tools', digest: `sha256:${'1'.repeat(64)}`, layers: 1, env: {} }
test.each<[string, Image, string]>([
  [
    'on a base of its own',
    image([layer('image', 'image-1'), code], { base }),
    'it stands on its base localhost:1/tools@sha256:111111111111: ps:rebuild takes what',
  ],
  [
    'from elsewhere',
    image([layer('image', 'image-1')]),
    'it came as an image, or of a Dockerfile that was not on the stack: bring a newer image',
  ],
  [
    'whose Dockerfile installed packages',
    image([old, layer('image', 'image-1')]),
    'its Dockerfile installs Debian packages: ps:rebuild does it anew',
  ],
  [
    'whose packages are not written down',
    image([old, layer('apt', 'apt-1'), code]),
    'the packages of "apt-1" are not known any more',
  ],
])('An image %s is refused with the reason', (_, refused, why) => {
  expect(() => rebase(refused, today, ({ kind }) => kind === 'image')).toThrow(why)
})
