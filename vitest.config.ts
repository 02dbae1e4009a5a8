import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/apps/**'],
    // Whole-system tests mostly wait (for git, ssh, a container's start), each on an instance of
    // its own: a few files at a time keep two cores busy and no more.
    maxWorkers: 4,
    reporters: ['./scripts/reporter.ts'],
    testTimeout: 180_000,
    hookTimeout: 300_000,
    teardownTimeout: 30_000,
  },
})
