import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Files that take a quarter of a minute or more among others, the longest first. */
const long = [
  ...['system/health', 'system/stack', 'system/javascript', 'system/base', 'builder/build'],
  ...['system/dockerfile', 'system/go-php-ruby', 'system/images', 'builder/dotnet'],
  ...['system/toolchains', 'system/crash', 'system/one-off', 'system/processes'],
  ...['system/registry', 'system/rename', 'system/refusals', 'system/disk', 'system/logs'],
  ...['system/recovery', 'system/apps', 'builder/poisoning', 'runner/lifecycle'],
]

/**
 * Begins what takes long, then the other tests of the whole system: none of them is left alone at
 * the end, with a processor idle beside it. The many short ones fill the gaps.
 */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    return sorted.toSorted((a, b) => rank(a.moduleId) - rank(b.moduleId))
  }
}

function rank(file: string): number {
  const place = long.findIndex((name) => file.endsWith(`/test/${name}.test.ts`))
  if (place >= 0) return place
  return file.includes('/test/system/') ? long.length : long.length + 1
}

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/apps/**'],
    // Whole-system tests mostly wait (for git, ssh, a container's start), each on an instance of
    // its own: a few files at a time keep two cores busy and no more.
    maxWorkers: 4,
    sequence: { sequencer: LongestFirst },
    reporters: ['./scripts/reporter.ts'],
    env: { PAAS_TEST_RUN: String(process.pid) },
    update: 'none', // what is expected is never written by the run that should find it
    testTimeout: 180_000,
    hookTimeout: 300_000,
    teardownTimeout: 30_000,
  },
})
