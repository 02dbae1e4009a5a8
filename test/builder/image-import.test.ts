import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readLayout } from '../../builder/image/import.ts'
import { architecture, mediaTypes, sha256 } from '../../builder/image/oci.ts'
import { takeImage } from '../../builder/image/take.ts'
import { tarEnd, tarHeader } from '../../builder/image/tar-header.ts'
import { paths } from '../../core/names.ts'
import { openLayerWork } from '../../daemon/code/layer-work.ts'
import { temporaryConfig } from './support.ts'

const head = { mode: 0o644, uid: 0, gid: 0 }

const json = (value: unknown) => Buffer.from(JSON.stringify(value))

/** An image layout on disk of one layer, as a builder of images leaves it. */
function writeLayout(dir: string, run: object): void {
  mkdirSync(join(dir, 'blobs/sha256'), { recursive: true })
  const blob = (mediaType: string, content: Buffer) => {
    const digest = sha256(content)
    writeFileSync(join(dir, 'blobs', digest.replace(':', '/')), content)
    return { mediaType, digest, size: content.length }
  }
  const text = 'node:x:1000:1000::/home/node:/bin/sh\n'.padEnd(512, '\n')
  const file = tarHeader({ path: 'etc/passwd', kind: 'file', size: 512, ...head })
  const layer = Buffer.concat([file, Buffer.from(text), tarEnd])
  const rootfs = { type: 'layers', diff_ids: [sha256(layer)] }
  const config = { os: 'linux', architecture: architecture(), config: run, rootfs }
  const manifest = {
    schemaVersion: 2,
    config: blob(mediaTypes.config, json(config)),
    layers: [blob(mediaTypes.tar, layer)],
  }
  const annotations = { 'org.opencontainers.image.ref.name': 'it' }
  const entry = { ...blob(mediaTypes.manifest, json(manifest)), annotations }
  writeFileSync(join(dir, 'index.json'), json({ schemaVersion: 2, manifests: [entry] }))
}

test('a layout on disk becomes an image that runs as it says, twice the same one', async () => {
  await using made = temporaryConfig()
  const { config } = made
  const { signal } = new AbortController()
  await using work = openLayerWork(signal)
  const said: string[] = []
  const context = { work, signal, say: (line: string) => void said.push(line) }
  const dir = join(config.home, 'layout')
  writeLayout(dir, { Cmd: ['/bin/serve', 'it'], User: 'node', ExposedPorts: { '8080/tcp': {} } })
  const take = async () =>
    takeImage(config, { name: 'it', ...(await readLayout(dir, 'it')) }, context)
  const image = await take()
  expect(image).toMatchObject({
    processes: { web: '/bin/serve it' },
    commands: { web: ['/bin/serve', 'it'] },
    env: { HOME: '/home/node' },
    workdir: '/',
    user: { uid: 1000, gid: 1000 },
    port: 8080,
  })
  const [layer] = image.layers
  if (!layer) throw new Error('no layer')
  expect(readFileSync(join(paths(config).layer(layer), 'etc/passwd'), 'utf8')).toContain('node:')
  expect(await take()).toEqual(image)
  expect(said).toContain('       Layers: 0 new, 1 re-used')
})
