import { parentPort, workerData } from 'node:worker_threads'

/** The thread of one `--grep`: told lines, it answers which of them match. */

export type Texts = string[]
export type Matches = boolean[]

const expression = new RegExp(String(workerData))
parentPort?.on('message', (texts: Texts) => {
  const matches: Matches = texts.map((text) => expression.test(text))
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has none
  parentPort?.postMessage(matches)
})
