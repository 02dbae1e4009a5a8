import type { App } from '../../core/types.ts'
import { type Database, now } from './database.ts'
import { optional, text } from './rows.ts'

/** Hosts given by `domains:add`; an app's own name under the base domain is not among them. */
export function domainStore({ all, get, run }: Database) {
  return {
    domains: (app: App): string[] =>
      all('select host from domains where app_id = ? order by host', app.id).map(({ host }) =>
        text(host),
      ),

    domainOwner: (host: string): string | undefined =>
      optional(
        get('select name from apps join domains on app_id = apps.id where host = ?', host),
        ({ name }) => text(name),
      ),

    addDomain: (app: App, host: string) =>
      run('insert into domains (host, app_id, created_at) values (?, ?, ?)', host, app.id, now()),

    removeDomain: (app: App, host: string) =>
      run('delete from domains where app_id = ? and host = ?', app.id, host),
  }
}
