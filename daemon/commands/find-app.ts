import { Failure } from '../../core/errors.ts'
import { parseAppName, printable } from '../../core/names.ts'
import type { App } from '../../core/types.ts'
import type { Daemon } from '../daemon.ts'
import { didYouMean } from './parse.ts'

/** Finds an app by its name or says which one may have been meant (exit 20). */
export function findApp(name: string, { store }: Pick<Daemon, 'store'>): App {
  const app = store.findApp(parseAppName(name))
  if (app) return app
  const names = store.apps().map((one) => one.name)
  const hint = didYouMean(name, names)
  throw new Failure(
    'no-such-app',
    `App "${printable(name)}" does not exist.${hint ? ` ${hint}` : ''}`,
  )
}
