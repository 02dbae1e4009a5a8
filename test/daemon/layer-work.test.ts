import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openLayerWork } from '../../daemon/code/layer-work.ts'

test('Who reads a layer no further gets the right answer to what is asked next', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'paas-layer-work-'))
  try {
    writeFileSync(join(dir, 'file'), Buffer.alloc(8 * 1024 * 1024, 'x'))
    await using work = openLayerWork(new AbortController().signal)
    const { bytes } = await work.digest(dir)
    let seen = 0
    for await (const piece of work.read(dir)) {
      seen += piece.length
      break
    }
    expect(seen).toBeLessThan(bytes)
    expect((await work.digest(dir)).bytes).toBe(bytes)
    seen = 0
    for await (const piece of work.read(dir)) seen += piece.length
    expect(seen).toBe(bytes)
  } finally {
    rmSync(dir, { recursive: true })
  }
})
