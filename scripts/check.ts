import { cpus } from 'node:os'
import { join } from 'node:path'
import { Failure } from '../core/errors.ts'
import { exec } from '../core/exec.ts'
import { repository, say, script } from './script.ts'

/** Type check, lint, format: run it before every commit. */

const checks = [
  { name: 'types', argv: ['tsc', '--noEmit', '--project', '.'] },
  { name: 'lint', argv: ['oxlint', '--deny-warnings', `--threads=${cpus().length}`] },
  { name: 'format', argv: ['oxfmt', '--check'] },
]

/** Runs all checks side by side; says what is wrong and returns the names of those that failed. */
export async function runChecks(): Promise<{ passed: string[]; failed: string[] }> {
  const results = await Promise.all(checks.map((check) => runCheck(check)))
  const names = (ok: boolean) => results.filter((result) => result.ok === ok).map((r) => r.name)
  return { passed: names(true), failed: names(false) }
}

async function runCheck({ name, argv }: (typeof checks)[number]) {
  const began = performance.now()
  const [tool = '', ...args] = argv
  const { code, stdout, stderr } = await exec(join(repository, 'node_modules/.bin', tool), args, {
    cwd: repository,
    accept: [0, 1, 2],
    timeoutMs: 5 * 60_000,
  })
  const seconds = ((performance.now() - began) / 1000).toFixed(1)
  if (code !== 0) say(`${stdout}${stderr}`.trimEnd())
  say(`${code === 0 ? '----->' : ' !    '} ${name}: ${code === 0 ? 'good' : 'bad'} (${seconds} s)`)
  return { name, ok: code === 0 }
}

if (import.meta.main) {
  await script(async () => {
    const { failed } = await runChecks()
    if (failed.length > 0) throw new Failure('failed', `Not good: ${failed.join(', ')}`)
  })
}
