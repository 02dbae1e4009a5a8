import { existsSync, readdirSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { exec } from '../core/exec.ts'

/**
 * Instances of tests outlive the test that is killed: a daemon leads a session of its own. Their
 * directories have the process id of the run in their names, so that they can be taken down later.
 */
const begin = 'paas-test-'
const down = resolve(import.meta.dirname, '../daemon/down.ts')

/** What the directories of this run's instances begin with; its id is that of vitest's process. */
export function instancePrefix(): string {
  return join(tmpdir(), `${begin}${process.env.PAAS_TEST_RUN ?? process.pid}-`)
}

/** How an instance is to be taken down, should nobody be left who knows. */
export async function noteInstance(dir: string, env: Record<string, string>): Promise<void> {
  await writeFile(envFile(dir), JSON.stringify(env), { mode: 0o600 })
}

/** Takes down what is left of these runs, given by their process ids. Returns the directories. */
export async function sweepRuns(isMeant: (run: number) => boolean): Promise<string[]> {
  const dirs = readdirSync(tmpdir())
    .filter((name) => isMeant(Number(/^paas-test-(\d+)-/.exec(name)?.[1])))
    .map((name) => join(tmpdir(), name))
  for (const dir of dirs) {
    if (existsSync(envFile(dir))) {
      const env: Record<string, string> = JSON.parse(await readFile(envFile(dir), 'utf8'))
      await exec(process.execPath, [down, '--purge'], { env })
    }
    await rm(dir, { recursive: true, force: true })
  }
  return dirs
}

/** Whether a run has ended, whose process id this is. */
export function isOver(run: number): boolean {
  return run > 0 && !existsSync(`/proc/${run}`)
}

function envFile(dir: string): string {
  return join(dir, 'env.json')
}
