import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The pages the router answers with itself. They name no app and tell nothing of what runs. */
const page = (name: string) => readFileSync(join(import.meta.dirname, 'pages', name), 'utf8')

export const pages = {
  unknown: page('404.html'),
  unreachable: page('502.html'),
  down: page('503.html'),
}
