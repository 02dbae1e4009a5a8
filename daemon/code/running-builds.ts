import { Failure } from '../../core/errors.ts'

/** The builds that wait or run now, so that another session can end one. */
export type RunningBuilds = ReturnType<typeof openRunningBuilds>

export function openRunningBuilds() {
  const running = new Map<number, { controller: AbortController; ended: Promise<void> }>()

  return {
    /** A signal that also a cancel of this build aborts; disposing of it says that it has ended. */
    enter(id: number, signal: AbortSignal): { signal: AbortSignal } & Disposable {
      const controller = new AbortController()
      const { promise: ended, resolve } = Promise.withResolvers<void>()
      running.set(id, { controller, ended })
      return {
        signal: AbortSignal.any([signal, controller.signal]),
        [Symbol.dispose]: () => {
          running.delete(id)
          resolve()
        },
      }
    },

    /** Ends a build and waits until it has; false when it does not run. */
    async cancel(id: number, by: string): Promise<boolean> {
      const build = running.get(id)
      if (!build) return false
      build.controller.abort(new Failure('failed', `Cancelled by ${by}`))
      await build.ended
      return true
    },
  }
}
