import { isOver, sweepRuns } from './run-of-tests.ts'

/** `node test/sweep.ts` takes down what tests have left running whose run is over. */
await sweepRuns(isOver)
