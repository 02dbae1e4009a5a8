import { randomBytes } from 'node:crypto'
import { link, mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { errno } from './errors.ts'

/** Files that others trust: each appears whole or not at all, whatever ends the one who writes. */

/** Puts a file in the place of what is there. */
export async function replaceFile(file: string, text: string): Promise<void> {
  await writeBeside(file, text, (beside) => rename(beside, file))
}

/** Makes a file unless there is one: of several at once the first wins. */
export async function makeFile(file: string, text: string): Promise<void> {
  await writeBeside(file, text, (beside) => link(beside, file).catch(ifThere))
}

async function writeBeside(
  file: string,
  text: string,
  place: (beside: string) => Promise<void>,
): Promise<void> {
  await mkdir(dirname(file), { recursive: true })
  const beside = `${file}.${randomBytes(6).toString('hex')}`
  try {
    await writeFile(beside, text, { flush: true })
    await place(beside)
  } finally {
    await rm(beside, { force: true })
  }
}

function ifThere(error: unknown): void {
  if (errno(error) !== 'EEXIST') throw error
}
