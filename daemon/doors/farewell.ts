import { Failure } from '../../core/errors.ts'

/** Ends what is asked of the daemon when that stops, so that whoever asked hears why. */
export type Farewell = ReturnType<typeof openFarewell>

export function openFarewell() {
  const stopping = new AbortController()
  return {
    /** Aborted, with the Failure to end with, when the daemon stops. */
    signal: stopping.signal,
    say(): void {
      const hint = 'Run the command again to go on'
      stopping.abort(new Failure('temporary', 'paas is stopping or restarting', { hint }))
    },
  }
}
