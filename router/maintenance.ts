import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseDomain } from '../core/names.ts'
import type { Router } from './caddy.ts'
import { maintenancePage } from './pages.ts'

/**
 * Pages that stand in for an app while it has no upstream: one file a host, found by the constant
 * configuration (drawn in routes.ts). Each is written beside and renamed, so none is seen half.
 */

/** Answers 503 with `html`, or a page of ours for the empty one, wherever no upstream is. */
export function showPage(router: Router, hosts: string[], html: string): void {
  mkdirSync(router.at.pages, { recursive: true })
  const text = html === '' ? maintenancePage() : html
  for (const host of hosts) {
    const beside = join(router.at.routes, 'page')
    writeFileSync(beside, text, { mode: 0o644 })
    renameSync(beside, pageFile(router, host))
  }
}

/** Takes the pages away; no error when there are none. */
export function hidePage(router: Router, hosts: string[]): void {
  for (const host of hosts) rmSync(pageFile(router, host), { force: true })
}

/** Whether a page stands in for any of these. */
export function hasPage(router: Router, hosts: string[]): boolean {
  return hosts.some((host) => existsSync(pageFile(router, host)))
}

function pageFile(router: Router, host: string): string {
  return join(router.at.pages, parseDomain(host)) // which may be as long as a file's name
}
