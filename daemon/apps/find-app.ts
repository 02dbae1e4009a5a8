import { didYouMean } from '../../core/did-you-mean.ts'
import { Failure } from '../../core/errors.ts'
import { parseAppName, printable } from '../../core/names.ts'
import type { App } from '../../core/types.ts'
import type { Daemon } from '../daemon.ts'

/** Finds an app by its name or says which one may have been meant (exit 20). */
export function findApp(name: string, daemon: Pick<Daemon, 'store'>): App {
  const app = daemon.store.findApp(parseAppName(name))
  if (app) return app
  throw missingApp(name, daemon)
}

export function missingApp(name: string, { store }: Pick<Daemon, 'store'>, hint = ''): Failure {
  const names = store.apps().map((one) => one.name)
  const near = didYouMean(name, names)
  const sentence = `App "${printable(name)}" does not exist`
  return new Failure('no-such-app', near ? `${sentence}. ${near}` : `${sentence}.`, { hint })
}
