import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { fetchRef, parseRemote } from '../../builder/import/remote.ts'
import { exec } from '../../core/exec.ts'

const { signal } = new AbortController()

test('a login of an address is sent, and is in no command line meanwhile', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'paas-remote-'))
  const repo = join(dir, 'repo')
  const [key, cert] = [join(dir, 'key'), join(dir, 'cert')]
  try {
    await exec('git', ['init', '--quiet', '--bare', '--', repo])
    await exec('git', [`--git-dir=${repo}`, 'config', 'http.sslVerify', 'false'])
    const subject = ['-subj', '/CN=localhost', '-keyout', key, '-out', cert]
    await exec('openssl', ['req', '-x509', '-nodes', '-newkey', 'rsa:2048', ...subject])
    const asked: (string | undefined)[] = []
    let lines = ''
    const options = { key: readFileSync(key), cert: readFileSync(cert) }
    const server = createServer(options, (request, answer) => {
      asked.push(request.headers.authorization)
      lines = commandLines()
      answer.writeHead(404).end()
    })
    await once(server.listen(0, '127.0.0.1'), 'listening')
    const { port } = server.address() as AddressInfo
    const remote = parseRemote(`https://me:s%40cret@127.0.0.1:${port}/shop.git`)
    const request = { remote, repo: repo, from: 'HEAD', to: 'refs/heads/import', ssh: 'ssh' }
    await expect(fetchRef(request, signal)).rejects.toThrow(/^https:\/\/\*\*\*@127\.0\.0\.1/)
    server.close()
    expect(asked).toEqual([`Basic ${Buffer.from('me:s@cret').toString('base64')}`])
    expect(lines).toContain('git-remote-https')
    expect(lines).not.toContain('cret')
  } finally {
    rmSync(dir, { recursive: true })
  }
})

function commandLines(): string {
  const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  return processes.map((name) => readText(`/proc/${name}/cmdline`)).join('\n')
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return '' // it has ended meanwhile
  }
}
