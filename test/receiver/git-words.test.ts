import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { explainGit } from '../../receiver/git-words.ts'

test('what git cannot take is explained, however its words arrive', async () => {
  const output = new PassThrough()
  const explained = explainGit(output)
  for (const piece of ['fatal: pack exc', 'eeds maximum allo', 'wed size\n']) output.write(piece)
  output.end('done')
  await new Promise((resolve) => output.once('end', resolve))
  expect(explained()?.message).toBe('The push is larger than 1024 MiB, more than is taken')
})

test('a push that ends well is not explained', async () => {
  const output = new PassThrough()
  const explained = explainGit(output)
  output.end('unpack ok')
  await new Promise((resolve) => output.once('end', resolve))
  expect(explained()).toBeUndefined()
})
