import { createHash } from 'node:crypto'
import { chown, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { appUser, type PaasConfig } from '../../core/config.ts'
import type { Layer } from '../../core/types.ts'
import type { LayerWork } from '../image/layer-work.ts'
import { readAccounts } from '../image/take.ts'
import { ensureLayer } from '../layers/layers.ts'

/**
 * A layer on top of an image of somebody else's that has the user whom apps are built and run as,
 * and their directory. Images with the same users share it.
 */
export async function ensureAccounts(
  config: PaasConfig,
  layers: Layer[],
  { work, signal }: { work: LayerWork; signal: AbortSignal },
): Promise<Layer> {
  const files = withAppUser(await readAccounts(config, layers, work))
  const hash = createHash('sha256').update(JSON.stringify(files)).digest('hex').slice(0, 32)
  const layer: Layer = { kind: 'image', key: `image-accounts-${hash}`, label: 'app user' }
  const make = async (dir: string) => {
    await mkdir(join(dir, 'etc'))
    for (const [name, text] of Object.entries(files)) {
      await writeFile(join(dir, 'etc', name), text, { mode: 0o644 })
    }
    await mkdir(join(dir, 'app'))
    await chown(join(dir, 'app'), appUser, appUser)
  }
  await ensureLayer(config, { layer, make, signal })
  return layer
}

/** Whoever has the number already is the app's user. The name may be somebody else's. */
function withAppUser([passwd, group]: [passwd: string, group: string]) {
  const name = hasRow(passwd, 0, 'app') ? 'paas-app' : 'app'
  const ids = `${appUser}:${appUser}`
  return {
    passwd: hasRow(passwd, 2, `${appUser}`)
      ? passwd
      : `${ended(passwd)}${name}:x:${ids}:app:/app:/bin/sh\n`,
    group: hasRow(group, 2, `${appUser}`) ? group : `${ended(group)}${name}:x:${appUser}:\n`,
  }
}

function hasRow(text: string, column: number, value: string): boolean {
  return text.split('\n').some((line) => line.split(':')[column] === value)
}

function ended(text: string): string {
  return text === '' || text.endsWith('\n') ? text : `${text}\n`
}
