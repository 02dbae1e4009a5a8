import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readConfig } from '../../core/config.ts'
import { exec } from '../../core/exec.ts'
import { parseSettings, settingsText } from '../../scripts/installed.ts'
import { parseKeys, readKeys } from '../../scripts/keys.ts'
import { checkPorts } from '../../scripts/ports.ts'
import { unitText } from '../../scripts/service.ts'
import { sshConfigBlock } from '../../scripts/ssh-config.ts'

describe('settings', () => {
  const env = {
    PAAS_HOME: '/srv/my paas',
    PAAS_DOMAIN: 'apps.example.com',
    https_proxy: 'http://proxy:3128',
    HOME: '/root',
    PAAS_TURN: 'a secret of one command',
  }

  test('of the installer are kept, and nothing else of its environment', () => {
    const text = settingsText(env)
    const { HOME: _home, PAAS_TURN: _turn, ...kept } = env
    expect(parseSettings(text)).toEqual(kept)
  })

  test('are read by sh as they were written', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'paas-settings-'))
    try {
      await writeFile(join(dir, 'paas.env'), settingsText(env))
      const { stdout } = await exec('sh', ['-c', '. ./paas.env; echo "$PAAS_HOME"'], { cwd: dir })
      expect(stdout).toBe('/srv/my paas\n')
    } finally {
      await rm(dir, { recursive: true })
    }
  })

  test('that sh would expand are refused', () => {
    expect(() => settingsText({ PAAS_HOME: '/srv/$(reboot)' })).toThrow(
      'PAAS_HOME holds a quote, "$", backslash or line break',
    )
  })
})

describe('keys', () => {
  const blob = 'AAAAC3NzaC1lZDI1NTE5AAAAIMF3Wl0mUUZJ0PvqNw1Ac2u4sXm4o2vdJx4uA8fRJ7vQ'

  test('are found in authorized_keys, without their options', () => {
    const text = `# mine\nno-pty,command="ls a" ssh-ed25519 ${blob} ann @ laptop\n\nssh-ed25519 ${blob}\n`
    expect(parseKeys(text)).toEqual([
      { name: 'ann-@-laptop', line: `ssh-ed25519 ${blob} ann @ laptop` },
      { name: 'admin', line: `ssh-ed25519 ${blob}` },
    ])
  })

  test('in a file that is not there stop the installation', async () => {
    await expect(readKeys(['/nowhere/id.pub'])).rejects.toThrow(
      'Could not read the key file /nowhere/id.pub: ENOENT',
    )
  })

  test('are not guessed from a private key', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'paas-keys-'))
    try {
      const file = join(dir, 'id')
      await exec('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file])
      await expect(readKeys([file])).rejects.toThrow(`${file} holds no public key`)
      expect(await readKeys([`${file}.pub`])).toHaveLength(1)
    } finally {
      await rm(dir, { recursive: true })
    }
  })
})

test('A taken port is named, with who has it and which variable moves ours', async () => {
  const other = createServer()
  const { promise, resolve } = Promise.withResolvers<void>()
  other.listen(0, resolve)
  await promise
  const address = other.address()
  const port = typeof address === 'object' && address ? address.port : 0
  try {
    const config = { ...readConfig({}), sshPort: port }
    await expect(checkPorts(config)).rejects.toMatchObject({
      message: expect.stringContaining(`(process ${process.pid})`),
      hint: expect.stringContaining('choose another port: PAAS_SSH_PORT='),
    })
  } finally {
    other.close()
  }
})

test('The unit stops the daemon alone and starts it again whenever it ends', () => {
  const unit = unitText('/srv/paas', '/opt/node')
  expect(unit).toContain('ExecStart="/opt/node" "/srv/paas/daemon/main.ts"\n')
  expect(unit).toContain('KillMode=process\n')
  expect(unit).toContain('Restart=always\n')
})

test('The ssh block makes paas:shop a remote', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'paas-ssh-'))
  try {
    const file = join(dir, 'config')
    await writeFile(file, sshConfigBlock({ hostName: 'apps.example.com', port: 2222 }))
    const { stdout } = await exec('ssh', ['-G', '-F', file, 'paas'])
    expect(stdout).toMatch(/^hostname apps\.example\.com$/m)
    expect(stdout).toMatch(/^port 2222$/m)
    expect(stdout).toMatch(/^user paas$/m)
  } finally {
    await rm(dir, { recursive: true })
  }
})
