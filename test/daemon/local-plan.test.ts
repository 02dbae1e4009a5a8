import { join } from 'node:path'
import { expect, test } from 'vitest'
import { exec } from '../../core/exec.ts'

const cli = join(import.meta.dirname, '../../daemon/cli.ts')
const app = join(import.meta.dirname, '../apps/python-pip')

/** As nobody, with no set-up host in sight. */
async function plan(...args: string[]) {
  const env = { PATH: process.env.PATH ?? '', PAAS_HOME: '/nonexistent', PAAS_RUN: '/nonexistent' }
  return exec(process.execPath, [cli, 'plan', ...args], { env, accept: [0, 1, 2] })
}

test('paas plan prints how a directory would be built, without a daemon', async () => {
  const { stdout, code } = await plan(app)
  expect([code, stdout.split('\n')]).toEqual([
    0,
    [
      '-----> Python detected (requirements.txt)',
      '       To build it otherwise: builder:set <app> NAME, or builder in paas.toml',
      '       Python: "3.13" (.python-version)',
      '       To choose another: .python-version with a line such as 3.13',
      '       dependencies: pip install -r requirements.txt',
      '       web: python3 app.py (Procfile)',
      '',
    ],
  ])
})

test('paas plan tells its warnings apart from the plan', async () => {
  const { stdout, stderr } = await plan(join(app, '../node-no-lockfile'))
  expect(stderr).toMatch(/^ !     /)
  expect(stdout).not.toContain(' !     ')
})

test('paas plan --json prints the whole plan', async () => {
  const all: unknown = JSON.parse((await plan(app, '--json')).stdout)
  expect(all).toMatchObject({ language: 'Python', tools: [{ tool: 'python' }], appJson: null })
})

test('paas plan says what is wrong with a directory, a builder or an option', async () => {
  const wrong = await Promise.all([
    plan('/nonexistent'),
    plan(app, '--builder', 'node'),
    plan(app, '--jsn'),
  ])
  expect(wrong.map(({ code }) => code)).toEqual([1, 1, 2])
  expect(wrong[0]?.stderr).toContain('Could not read /nonexistent: ENOENT')
  expect(wrong[1]?.stderr).toContain('The builder is node, but there is no package.json')
})
