import { cp, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Paas, startPaas } from './instance.ts'

let paas: Paas
beforeAll(async () => {
  paas = await startPaas()
}, 300_000)
afterAll(() => paas[Symbol.asyncDispose]())

test('A pushed Python app answers; each push builds only what changed', async () => {
  const dir = await paas.tree('py', {})
  await cp(join(import.meta.dirname, '../apps/python-pip'), dir, { recursive: true })
  await paas.tree('py', { 'notes.txt': 'one' })
  const first = await paas.push('py', dir)
  expect([first.code, first.out]).toEqual([0, expect.stringContaining('-----> Python detected')])
  expect(first.out).toMatch(/Python 3\.13\.\d+ \(\.python-version "3\.13"\)/)
  expect((await paas.get('py')).body).toBe('hello from Python 3\n')

  const second = await paas.push('py', await paas.tree('py', { 'notes.txt': 'two' }))
  expect(second.out).toContain('dependencies: re-used (requirements.txt unchanged)')
  expect(second.out).toMatch(
    /Layers: Debian [^\n,]* re-used, apt [^\n,]* re-used, dependencies re-used, source \w+ new/,
  )

  const requirements = await readFile(join(dir, 'requirements.txt'), 'utf8')
  await writeFile(join(dir, 'requirements.txt'), `${requirements}# again\n`)
  const third = await paas.push('py', await paas.tree('py', { 'notes.txt': 'three' }))
  expect(third.out).toContain('-----> pip install -r requirements.txt')
  expect((await paas.get('py')).body).toBe('hello from Python 3\n')

  const plan: unknown = JSON.parse((await paas.ssh(['builds:plan', 'py'])).stdout)
  expect(plan).toMatchObject({
    versions: [{ tool: 'python', from: '.python-version "3.13"' }],
    apt: [{ packages: ['python3'] }, { packages: ['python3', 'python3-dev', 'python3-venv'] }],
    appJson: null,
  })
}, 600_000)

test('builder:set wins, and is taken back', async () => {
  expect((await paas.ssh(['builder:set', 'py', 'node'])).stdout).toContain('builder: node')
  const push = await paas.push('py', await paas.tree('py', { 'notes.txt': 'four' }))
  expect(push.out).toContain('The builder is node, but there is no package.json')
  expect(push.code).not.toBe(0)
  const report = await paas.ssh(['builder:report', 'py', '--json'])
  expect(JSON.parse(report.stdout)).toEqual({ builder: 'node', setBy: 'builder:set', base: null })
  expect((await paas.ssh(['builder:set', 'py', 'cobol'])).stderr).toContain('is no builder')
  expect((await paas.ssh(['builder:set', 'py'])).stdout).toContain('as paas.toml or the files say')
}, 120_000)
