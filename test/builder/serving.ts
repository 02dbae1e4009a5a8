import { setTimeout as sleep } from 'node:timers/promises'
import type { PaasConfig } from '../../core/config.ts'
import type { Image } from '../../core/types.ts'
import { runWeb } from './sandbox.ts'

type Get = (path: string) => Promise<[status: number, text: string]>

/** What an image's web process answers to `/`. */
export async function answerOf(config: PaasConfig, image: Image | undefined): Promise<string> {
  let answer = ''
  await serving(config, image, async (get) => {
    const [, text] = await get('/')
    answer = text
  })
  return answer
}

/** Runs an image's web process as the daemon would, for as long as `use` takes. */
export async function serving(
  config: PaasConfig,
  image: Image | undefined,
  use: (get: Get) => Promise<void>,
): Promise<void> {
  if (!image) throw new Error('no image')
  const controller = new AbortController()
  const { address, ended } = await runWeb(config, image, controller.signal)
  const get: Get = async (path) => {
    const response = await fetch(`http://${address}:5000${path}`)
    return [response.status, await response.text()]
  }
  try {
    await until(() => get('/').then(Boolean, () => false))
    await use(get)
  } finally {
    controller.abort()
    await ended
  }
}

export async function until(check: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 60_000
  for (let waitMs = 20; !(await check()); waitMs = Math.min(waitMs * 1.2, 200)) {
    if (Date.now() > deadline) throw new Error('it did not come about within 60 s')
    await sleep(waitMs)
  }
}
