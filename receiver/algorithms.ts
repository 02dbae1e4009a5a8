import type { Algorithms } from 'ssh2'

/**
 * What we offer, best first: no SHA-1, no group exchange, no CBC, no compression.
 * Key exchange is ssh2's own list less what is slow, because its types do not know the first of it:
 * `mlkem768x25519-sha256` comes from patches/, and OpenSSH from 10.1 on warns where it is missing.
 * The test "offers exactly" pins the whole.
 */
export const algorithms = {
  kex: {
    append: [],
    prepend: [],
    remove: [
      'diffie-hellman-group-exchange-sha256',
      'diffie-hellman-group15-sha512',
      'diffie-hellman-group17-sha512',
    ],
  },
  serverHostKey: ['ssh-ed25519', 'ecdsa-sha2-nistp256'],
  cipher: [
    'aes128-gcm@openssh.com',
    'aes256-gcm@openssh.com',
    'chacha20-poly1305@openssh.com',
    'aes128-ctr',
    'aes192-ctr',
    'aes256-ctr',
  ],
  hmac: [
    'hmac-sha2-256-etm@openssh.com',
    'hmac-sha2-512-etm@openssh.com',
    'hmac-sha2-256',
    'hmac-sha2-512',
  ],
  compress: ['none'],
} satisfies Algorithms
