import type { ConfigStore } from './config.ts'
import type { Database } from './database.ts'
import { type Row, text } from './rows.ts'

/** Registries that images come from or go to, with how to log in there. */
export type RegistryRow = {
  host: string
  login?: { user: string; password: string }
  allowed: boolean
}

export function registryStore({ all, get, run }: Database, secrets: ConfigStore) {
  const read = (row: Row): RegistryRow => {
    const { user, password } = secrets.unsealed(text(row.login))
    const login = user !== undefined && password !== undefined && { user, password }
    return { host: text(row.host), ...(login && { login }), allowed: row.allowed === 1 }
  }
  const forgetEmpty = () => run(`delete from registries where login = '{}' and allowed = 0`)
  return {
    registries: (): RegistryRow[] => all('select * from registries order by host').map(read),

    registry(host: string): RegistryRow {
      const row = get('select * from registries where host = ?', host)
      return row ? read(row) : { host, allowed: false }
    },

    setRegistryLogin(host: string, login: { user: string; password: string } | null): void {
      const sealed = login ? secrets.sealed(login) : '{}'
      run(
        `insert into registries (host, login) values (?1, ?2)
          on conflict (host) do update set login = ?2`,
        host,
        sealed,
      )
      forgetEmpty()
    },

    allowRegistry(host: string, allowed: boolean): void {
      run(
        `insert into registries (host, allowed) values (?1, ?2)
          on conflict (host) do update set allowed = ?2`,
        host,
        allowed ? 1 : 0,
      )
      forgetEmpty()
    },
  }
}
