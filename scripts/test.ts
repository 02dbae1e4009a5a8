import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { exec, spawnGroup, waitForEnd } from '../core/exec.ts'
import { runChecks } from './check.ts'
import { repository, say, script } from './script.ts'

/**
 * Checks, then vitest, then one line of counts; a check counts as a test. What the tests of this
 * run, or of one that was killed, have left running is taken down.
 */

type Counts = { passed: number; failed: number; skipped: number }

const reporters = ['--reporter=./scripts/reporter.ts', '--reporter=json']
const testsTimeoutMs = 60 * 60_000
const sweepTimeoutMs = 5 * 60_000

await script(async () => {
  const checks = await runChecks()
  const tests = await runTests(process.argv.slice(2))
  const passed = tests.passed + checks.passed.length
  const failed = tests.failed + checks.failed.length
  const skipped = tests.skipped > 0 ? `, ${tests.skipped} skipped` : ''
  if (tests.passed === 0) say(' !     No test ran')
  say(`${passed} passed, ${failed} failed${skipped}`)
  if (failed > 0 || tests.passed === 0) process.exitCode = 1
})

async function runTests(args: string[]): Promise<Counts> {
  const dir = await mkdtemp(join(tmpdir(), 'paas-results-'))
  const results = join(dir, 'results.json')
  const interrupted = new AbortController()
  process.once('SIGINT', () => interrupted.abort()).once('SIGTERM', () => interrupted.abort())
  await sweep()
  try {
    const vitest = spawnGroup(
      join(repository, 'node_modules/.bin/vitest'),
      ['run', ...reporters, `--outputFile.json=${results}`, ...args],
      { cwd: repository, stdio: ['ignore', 'inherit', 'inherit'] },
    )
    const limits = { signal: interrupted.signal, timeoutMs: testsTimeoutMs }
    const code = await waitForEnd(vitest, limits)
    return countsOf(await readFile(results, 'utf8').catch(() => '{}'), code)
  } finally {
    await sweep()
    await rm(dir, { recursive: true, force: true })
  }
}

/** Instances lead sessions of their own: those of a run that was killed are still there. */
async function sweep(): Promise<void> {
  const timeoutMs = sweepTimeoutMs
  await exec(process.execPath, [join(repository, 'test/sweep.ts')], { timeoutMs })
}

/** A run that failed outside any test (a file that does not load, a leak) is one failure more. */
function countsOf(json: string, code: number): Counts {
  const results: Record<string, unknown> = JSON.parse(json)
  const count = (key: string) => Number(results[key] ?? 0)
  const failed = count('numFailedTests')
  return {
    passed: count('numPassedTests'),
    failed: failed === 0 && code !== 0 ? 1 : failed,
    skipped: count('numPendingTests') + count('numTodoTests'),
  }
}
