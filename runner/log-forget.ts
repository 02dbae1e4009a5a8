import { rm } from 'node:fs/promises'
import { findFiles } from './log-reading.ts'

/** Removes what one container has logged: short-lived ones would leave a file each, for ever. */
export async function forgetLog(directory: string, id: string): Promise<void> {
  for (const { names } of await findFiles(directory, { id })) {
    for (const name of names) await rm(name, { force: true })
  }
}
