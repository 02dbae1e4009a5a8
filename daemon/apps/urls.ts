import type { App, Say } from '../../core/types.ts'
import type { Daemon } from '../daemon.ts'
import { appUrls } from './hosts.ts'

const urlsMost = 20

/** Where a person can open the app, those included that plugins know of. */
export async function shownUrls(
  { config, store, triggers }: Pick<Daemon, 'config' | 'store' | 'triggers'>,
  app: App,
  say: Say,
): Promise<string[]> {
  const own = appUrls(config, store, app)
  if (!triggers.listens('urls')) return own
  const more: string[] = []
  await triggers.fire('urls', { app: app.name }, (line) => {
    const text = line.trim()
    if (/^https?:\/\/[^\s\x00-\x1f]{1,300}$/.test(text)) more.push(text)
    else say(line)
  })
  return [...new Set([...own, ...more.slice(0, urlsMost)])]
}
