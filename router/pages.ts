import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** What the router itself has to say. It names no app and tells nothing of what runs. */
const words = {
  404: {
    title: 'No app answers at this address',
    words: 'Check the spelling. If the app is yours, <code>domains:report</code> lists its names.',
  },
  502: {
    title: 'The app did not answer',
    words: 'It refused the connection or broke off. If it is yours, <code>logs</code> tells more.',
  },
  503: {
    title: 'The app is not running',
    words: 'Nothing of it is up right now. If it is yours, <code>ps</code> tells more.',
  },
} as const

/** What an app in maintenance shows unless it has a page of its own. */
export function maintenancePage(): string {
  return html('The app is in maintenance', '503', 'It will be back. Try again in a little while.')
}

/** Routes that answer with a page of ours, or with its sentence where a client asks for JSON. */
export function page(status: keyof typeof words): Record<string, unknown>[] {
  const { title, words: text } = words[status]
  const answer = (type: string, body: string) => ({
    handler: 'static_response',
    status_code: status,
    headers: {
      'Content-Type': [type],
      'Cache-Control': ['no-store'],
      ...(status === 404 ? {} : { 'Retry-After': ['5'] }),
    },
    body,
  })
  return [
    {
      match: [{ header: { Accept: ['*application/json*'] } }],
      handle: [answer('application/json', `${JSON.stringify({ error: title })}\n`)],
      terminal: true,
    },
    {
      handle: [answer('text/html; charset=utf-8', html(title, String(status), text))],
      terminal: true,
    },
  ]
}

function html(title: string, status: string, text: string): string {
  return readFileSync(join(import.meta.dirname, 'page.html'), 'utf8')
    .replaceAll('TITLE', title)
    .replace('STATUS', status)
    .replace('WORDS', text)
}
