import { Failure } from '../../core/errors.ts'
import type { Store } from '../store/store.ts'

/** Throws when somebody has locked the app by `apps:lock`; an app that is not there is not. */
export function refuseLocked(store: Store, app: string): void {
  const by = store.findApp(app)?.lockedBy
  if (by === undefined || by === null) return
  throw new Failure('failed', `${app} is locked by ${by}: it takes no push and no change`, {
    hint: `To unlock it: apps:unlock ${app}`,
  })
}
