import { fetch, stdin } from 'zx'

/**
 * What the triggers of this plugin share: read what paas tells, post it, say so. The facts come as
 * JSON on standard input (see ../README.md for their shape); the app's own config is among them, so
 * that each app sets its own URL: `config:set shop DEPLOY_WEBHOOK_URL=https://…`.
 */
const timeoutMs = 5000

export async function notify(event: 'deployed' | 'failed'): Promise<void> {
  const facts = JSON.parse(await stdin())
  const url: unknown = facts.config.DEPLOY_WEBHOOK_URL
  if (typeof url !== 'string') return
  const { app, urls, release, commit, error } = facts
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ event, app, url: urls[0], release, commit, error }),
    signal: AbortSignal.timeout(timeoutMs),
  })
  if (!response.ok) throw new Error(`the webhook answered ${response.status}`)
  console.log(`Told the webhook that ${app} ${event === 'deployed' ? `runs ${release}` : 'failed'}`)
}

/** A failing script only warns here, but says in one line why. */
export function main(event: 'deployed' | 'failed'): void {
  notify(event).catch((error: unknown) => {
    console.log(error instanceof Error ? error.message : String(error))
    process.exitCode = 1
  })
}
