import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const words = {
  404: 'No app answers at this address',
  502: 'The app did not answer',
  503: 'The app is not running',
} as const

/** Routes that answer with a page of ours, or with its sentence where a client asks for JSON. */
export function page(status: keyof typeof words): Record<string, unknown>[] {
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
  const html = readFileSync(join(import.meta.dirname, 'pages', `${status}.html`), 'utf8')
  return [
    {
      match: [{ header: { Accept: ['*application/json*'] } }],
      handle: [answer('application/json', `${JSON.stringify({ error: words[status] })}\n`)],
      terminal: true,
    },
    { handle: [answer('text/html; charset=utf-8', html)], terminal: true },
  ]
}
