import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { Failure } from '../../core/errors.ts'
import { exec } from '../../core/exec.ts'
import { parsePublicKey, readWireKey } from '../../receiver/keys.ts'
import { sshString } from '../../receiver/wire.ts'
import { makeKey, tempDir } from './fixture.ts'

describe('parsePublicKey', () => {
  test.each([
    ['ed25519', [], 'ssh-ed25519'],
    ['ecdsa', ['-b', '256'], 'ecdsa-sha2-nistp256'],
    ['ecdsa', ['-b', '384'], 'ecdsa-sha2-nistp384'],
    ['ecdsa', ['-b', '521'], 'ecdsa-sha2-nistp521'],
    ['rsa', ['-b', '2048'], 'ssh-rsa'],
    ['rsa', ['-b', '2048'], 'ssh-rsa'],
  ])('reads what ssh-keygen makes for %s %j', async (type, more, algorithm) => {
    const { path } = await makeKey(await tempDir(), type, ...more, '-C', 'ann@laptop and more')
    const key = parsePublicKey(`${await readFile(`${path}.pub`, 'utf8')}\r\n`)
    const { stdout } = await exec('ssh-keygen', ['-l', '-f', `${path}.pub`])
    expect(stdout).toContain(` ${key.fingerprint} `)
    expect(key).toMatchObject({ algorithm, comment: 'ann@laptop and more' })
  })

  test('reads hardware keys', () => {
    const name = 'sk-ssh-ed25519@openssh.com'
    const parts = [name, Buffer.alloc(32, 7), 'ssh:'].map(sshString)
    const blob = Buffer.concat(parts).toString('base64')
    expect(parsePublicKey(`${name} ${blob}`)).toMatchObject({ algorithm: name, blob, comment: '' })
  })

  test('makes a comment safe to print', async () => {
    const { blob } = await makeKey(await tempDir(), 'ed25519')
    expect(parsePublicKey(`ssh-ed25519 ${blob} a\u001b[31mb`).comment).toBe('a?[31mb')
  })

  test('refuses a private key and says what to send', async () => {
    const { path } = await makeKey(await tempDir(), 'ed25519')
    const failure = failureOf(await readFile(path, 'utf8'))
    expect(failure.message).toContain('this is a PRIVATE key')
    expect(failure.hint).toContain('.pub')
    expect(failureOf('PuTTY-User-Key-File-3: ssh-ed25519').message).toContain('PRIVATE')
  })

  test('refuses options', async () => {
    const { blob } = await makeKey(await tempDir(), 'ed25519')
    const failure = failureOf(`command="true",no-pty ssh-ed25519 ${blob} x`)
    expect(failure.message).toContain('it begins with options')
  })

  test('refuses RSA below 2048 bits', async () => {
    await expect(makeKey(await tempDir(), 'rsa', '-b', '1024')).rejects.toThrow(
      'it is RSA with 1024 bits, and 2048 to 16384 are accepted',
    )
  })

  test('refuses DSA, certificates and words, and lists what it takes', () => {
    for (const line of ['ssh-dss AAAA', 'ssh-ed25519-cert-v01@openssh.com AAAA', 'hello', '']) {
      const failure = failureOf(line)
      expect(failure.message).toContain('is not a key type that paas accepts')
      expect(failure.hint).toContain('ssh-ed25519')
    }
  })

  test('refuses damaged keys', async () => {
    const { blob } = await makeKey(await tempDir(), 'ed25519')
    const { blob: rsa } = await makeKey(await tempDir(), 'rsa', '-b', '2048')
    for (const [type, text] of [
      ['ssh-ed25519', blob.slice(0, -8)],
      ['ssh-ed25519', `${blob}AAAA`],
      ['ssh-ed25519', rsa],
      ['ssh-rsa', blob],
      ['ecdsa-sha2-nistp256', blob],
      ['ssh-ed25519', ''],
      ['ssh-ed25519', '!!!!'],
      ['ssh-ed25519', `${blob}\nssh-ed25519 ${blob}`],
    ]) {
      expect(failureOf(`${type} ${text}`).code).toBe('usage')
    }
  })
})

describe('readWireKey', () => {
  test('takes a key or nothing from any bytes', async () => {
    const { blob } = await makeKey(await tempDir(), 'ecdsa')
    const good = Buffer.from(blob, 'base64')
    expect(readWireKey(good)?.algorithm).toBe('ecdsa-sha2-nistp256')
    for (let round = 0; round < 5000; round += 1) {
      const bad = Buffer.from(good)
      bad[Math.floor(Math.random() * bad.length)] = Math.floor(Math.random() * 256)
      const cut = bad.subarray(0, Math.floor(Math.random() * bad.length) + 1)
      for (const bytes of [bad, cut]) {
        const key = readWireKey(bytes)
        expect(key === null || key.key.type === 'public').toBe(true)
      }
    }
  })
})

function failureOf(text: string): Failure {
  try {
    parsePublicKey(text)
  } catch (error) {
    if (error instanceof Failure) return error
    throw error
  }
  throw new Error(`Was accepted: ${text}`)
}
