import { readdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { exec } from '../core/exec.ts'

/**
 * Applies each patch here to node_modules; run by npm after an install. Safe to run again.
 * A patch that no longer fits stops the install: its package has changed.
 */
const here = dirname(fileURLToPath(import.meta.url))
const root = dirname(here)

for (const name of await readdir(here)) {
  if (!name.endsWith('.patch')) continue
  const apply = ['apply', '--whitespace=nowarn', `patches/${name}`]
  const undone = await exec('git', [...apply, '--reverse', '--check'], {
    cwd: root,
    accept: [0, 1, 128],
  })
  if (undone.code !== 0) await exec('git', apply, { cwd: root })
  console.log(`${name}: ${undone.code === 0 ? 'was applied before' : 'applied'}`)
}
