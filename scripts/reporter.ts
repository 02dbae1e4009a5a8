import { DefaultReporter } from 'vitest/node'

/** Prints the hint and details of a Failure as well: the last words of a program that failed. */
export default class Reporter extends DefaultReporter {
  override verbose = true
}
