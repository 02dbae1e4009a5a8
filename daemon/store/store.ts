import { dirname, join } from 'node:path'
import { appStore } from './apps.ts'
import { buildStore } from './builds.ts'
import { checkStore } from './checks.ts'
import { openDatabase } from './database.ts'
import { codeStore } from './code.ts'
import { copyStore } from './copies.ts'
import { cronStore } from './cron.ts'
import { openCipher } from './cipher.ts'
import { configStore, holdsSealed, sealPlain } from './config.ts'
import { diskStore } from './disk.ts'
import { domainStore } from './domains.ts'
import { historyStore } from './history.ts'
import { keyStore } from './keys.ts'
import { logStore } from './logs.ts'
import { pluginStore } from './plugins.ts'
import { registryStore } from './registries.ts'
import { releaseStore } from './releases.ts'
import { storageStore } from './storages.ts'
import { runStore } from './runs.ts'
import { upkeepStore } from './upkeep.ts'

/** Desired state: the only room that speaks SQL. Every function of it is one transaction. */

export type Store = ReturnType<typeof openStore>

/** Opens the database at `path`, brought to the newest schema; its config's key lies beside. */
export function openStore(path: string, keyFile = join(dirname(path), 'config.key')) {
  const db = openDatabase(path)
  const cipher = openCipher(keyFile, holdsSealed(db))
  sealPlain(db, cipher)
  const config = configStore(db, cipher)
  return {
    ...appStore(db),
    ...config,
    ...registryStore(db, config),
    ...releaseStore(db, config),
    ...buildStore(db),
    ...checkStore(db),
    ...codeStore(db),
    ...copyStore(db),
    ...diskStore(db),
    ...domainStore(db),
    ...historyStore(db),
    ...keyStore(db),
    ...logStore(db, cipher),
    ...pluginStore(db),
    ...storageStore(db),
    ...cronStore(db),
    ...runStore(db),
    ...upkeepStore(db),
    close: () => db.close(),
  }
}
