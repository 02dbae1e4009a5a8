import { describe, expect, test } from 'vitest'
import { decidePush } from '../../daemon/code/push.ts'

const zero = '0'.repeat(40)
const sha = (letter: string) => letter.repeat(40)
const update = (ref: string, newSha = sha('a'), oldSha = zero) => ({ ref, oldSha, newSha })
const fresh = { name: 'shop', deployBranch: null }
const settled = { name: 'shop', deployBranch: 'main' }

describe('decidePush', () => {
  test('makes the first branch pushed the deploy branch', () => {
    expect(decidePush([update('refs/heads/trunk')], fresh).deploy).toMatchObject({
      branch: 'trunk',
      commit: sha('a'),
    })
  })

  test('prefers main and master among several first branches', () => {
    const updates = [update('refs/heads/a'), update('refs/heads/master'), update('refs/heads/z')]
    expect(decidePush(updates, fresh).deploy?.branch).toBe('master')
  })

  test('stores another branch with a warning that says how to deploy it', () => {
    const { deploy, warnings } = decidePush([update('refs/heads/feature/x')], settled)
    expect(deploy).toBeNull()
    expect(warnings[0]).toContain('Branch "feature/x" is stored, not deployed')
    expect(warnings[0]).toMatch(/To deploy it: git push paas feature\/x:\w+\. From its next commit/)
    expect(warnings[0]).toContain('git:set shop deploy-branch feature/x')
  })

  test('deploys nothing for tags alone, and says so', () => {
    const { deploy, warnings } = decidePush([update('refs/tags/v1')], settled)
    expect(deploy).toBeNull()
    expect(warnings).toEqual([' !     No branch was pushed, so nothing is deployed'])
  })

  test('lets other branches be deleted in silence', () => {
    const gone = update('refs/heads/feature', zero, sha('a'))
    expect(decidePush([gone], settled)).toEqual({ deploy: null, warnings: [] })
  })

  test('refuses to delete the deploy branch', () => {
    expect(() => decidePush([update('refs/heads/main', zero, sha('a'))], settled)).toThrow(
      '"main" is the deploy branch and cannot be deleted',
    )
  })

  test.each([
    'refs/strange/x',
    'HEAD',
    'refs/headsmain',
    'refs/heads/a..b',
    'refs/heads/-x',
    'refs/heads/a/.x',
    'refs/heads/a.lock/b',
  ])('refuses %s', (ref) => {
    expect(() => decidePush([update(ref)], settled)).toThrow(/is n(either|ot) a branch/)
  })
})
