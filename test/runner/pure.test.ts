import { describe, expect, test } from 'vitest'
import { defaultLimits, readConfig } from '../../core/config.ts'
import type { InstanceSpec } from '../../core/types.ts'
import { hardwareAddress, isWithin, nextAddress, parseSubnet } from '../../runner/address.ts'
import { withoutLoopback } from '../../runner/bundle.ts'
import { forwardDrops, isAtLeast, judgeCaddy } from '../../runner/facts.ts'
import { firewall } from '../../runner/firewall.ts'
import { explainSockets } from '../../runner/health.ts'
import { lineSplitter } from '../../core/lines.ts'
import { formatEntry, lineReader, logPiece, parseLogFile } from '../../runner/log-files.ts'
import { parseSockets } from '../../runner/processes.ts'
import { seccompProfile } from '../../runner/seccomp.ts'
import { ociSpec, type SpecContext } from '../../runner/spec.ts'

const spec: InstanceSpec = {
  id: '0123456789ab',
  app: 'shop',
  process: 'web.1',
  release: 7,
  layers: [],
  argv: ['sh', '-c', 'exec node server.js'],
  env: { COLOUR: 'red' },
  address: '10.87.0.9',
  limits: defaultLimits,
}

const context: SpecContext = {
  idBase: 65_536 * 20,
  bundle: '/run/paas/bundles/0123456789ab',
  cgroup: '/paas/0123456789ab',
  architecture: 'x64',
  init: '/usr/bin/tini-static',
  certificates: undefined,
  filesMax: 20_000,
  limitsSwap: true,
  oomScore: 0,
  mounts: [],
}

describe('the OCI configuration', () => {
  test('runs the program as an unprivileged user under our init', () => {
    const { process } = ociSpec(spec, context)
    expect(process.args).toEqual(['/dev/init', '-g', '--', 'sh', '-c', 'exec node server.js'])
    expect(process.user).toEqual({ uid: 32767, gid: 32767, umask: 0o022 })
    expect(process.noNewPrivileges).toBe(true)
    expect(Object.values(process.capabilities).flat()).toEqual([])
    expect(process.env).toContain('COLOUR=red')
    expect(process.env).toContain('HOME=/app')
    expect(process.env).toContain('PORT=5000')
  })

  test('limits memory without swap, CPU, processes and files', () => {
    const { linux, process } = ociSpec(spec, context)
    expect(linux.resources.memory).toEqual({ limit: 536_870_912, swap: 536_870_912 })
    expect(linux.resources.cpu).toEqual({ period: 100_000, quota: 100_000 })
    expect(linux.resources.pids).toEqual({ limit: 512 })
    expect(process.rlimits[0]).toEqual({ type: 'RLIMIT_NOFILE', soft: 20_000, hard: 20_000 })
  })

  test('has a user namespace unless the host cannot', () => {
    expect(ociSpec(spec, context).linux).toMatchObject({
      uidMappings: [{ containerID: 0, hostID: 1_310_720, size: 65_536 }],
    })
    const shared = ociSpec(spec, { ...context, idBase: undefined })
    expect(shared.linux.namespaces.map(({ type }) => type)).not.toContain('user')
  })

  test('lets builds die first and never claims more protection than the daemon has', () => {
    const build = ociSpec({ ...spec, kind: 'build' }, context)
    expect(build.process.oomScoreAdj).toBe(900)
    expect(ociSpec(spec, context).process.oomScoreAdj).toBe(100)
    expect(ociSpec(spec, { ...context, oomScore: 500 }).process.oomScoreAdj).toBe(500)
  })

  test('shows extra directories as asked', () => {
    const mounts = [{ source: '/cache', target: '/cache', readOnly: false }]
    expect(ociSpec(spec, { ...context, mounts }).mounts.at(-1)).toEqual({
      destination: '/cache',
      type: 'bind',
      source: '/cache',
      options: ['bind', 'nosuid', 'nodev', 'rw'],
    })
  })
})

test('the seccomp profile denies what is not listed and never lists a way to a namespace', () => {
  const { defaultAction, syscalls } = seccompProfile('x64')
  expect(defaultAction).toBe('SCMP_ACT_ERRNO')
  const free = syscalls
    .filter(({ action, args }) => action === 'SCMP_ACT_ALLOW' && !args)
    .flatMap(({ names }) => names)
  const dangerous =
    'unshare setns clone clone3 mount bpf keyctl perf_event_open ptrace io_uring_setup'
  for (const name of [...dangerous.split(' '), 'userfaultfd']) expect(free).not.toContain(name)
  const all = syscalls.flatMap(({ names, args }) => (args ? [] : names))
  expect(new Set(all).size).toBe(all.length)
})

test('a maker of containers may mount, and take away from itself, in its own namespace alone', () => {
  const nested: InstanceSpec = { ...spec, user: 'root', nested: true }
  const { process, linux } = ociSpec(nested, context)
  expect(process.noNewPrivileges).toBe(true)
  const held = process.capabilities.effective
  expect(held).toContain('CAP_SYS_ADMIN')
  for (const name of ['NET_ADMIN', 'NET_RAW', 'SYS_MODULE', 'SYS_PTRACE', 'SYS_RAWIO', 'BPF']) {
    expect(held).not.toContain(`CAP_${name}`)
  }
  expect(ociSpec(nested, { ...context, idBase: undefined }).process.capabilities.effective).toEqual(
    [],
  )
  const { syscalls } = linux.seccomp
  const free = syscalls
    .filter(({ action, args }) => action === 'SCMP_ACT_ALLOW' && !args)
    .flatMap(({ names }) => names)
  expect(free).toContain('mount')
  for (const name of ['unshare', 'setns', 'clone', 'clone3', 'fsopen', 'bpf', 'keyctl', 'ptrace']) {
    expect(free).not.toContain(name)
  }
  // Whatever it may unshare, a further user namespace is not among it.
  const bounded = syscalls.filter(({ names }) => names.some((one) => /^(unshare|clone)$/.test(one)))
  const flag = { index: 0, value: 0x10000000, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }
  expect(bounded.map(({ args }) => args)).toEqual([[flag], [flag]])
  const all = syscalls.flatMap(({ names, args }) => (args ? [] : names))
  expect(new Set(all).size).toBe(all.length)
})

describe('addresses', () => {
  test('go round, so that none is used again soon', () => {
    expect(nextAddress('10.87.0.0/16', new Set())).toBe('10.87.0.2')
    expect(nextAddress('10.87.0.0/16', new Set(['10.87.0.4']), '10.87.0.3')).toBe('10.87.0.5')
    expect(nextAddress('10.87.0.0/16', new Set(), '10.87.0.255')).toBe('10.87.1.0')
    expect(nextAddress('10.87.0.0/29', new Set(), '10.87.0.6')).toBe('10.87.0.2')
  })

  test('run out with a sentence', () => {
    const used = new Set(['10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5', '10.0.0.6'])
    expect(() => nextAddress('10.0.0.0/29', used)).toThrow(
      'All 5 addresses of 10.0.0.0/29 are in use',
    )
  })

  test('begin with the bridge and decide the hardware address', () => {
    expect(isWithin('10.87.4.0/24', '10.87.0.0/16')).toBe(true)
    expect(isWithin('10.87.4.1', '10.87.9.9/16')).toBe(true)
    expect(isWithin('10.88.0.0/16', '10.87.0.0/16')).toBe(false)
    expect(isWithin('10.0.0.0/8', '10.87.0.0/16')).toBe(false)
    expect(parseSubnet('10.87.3.4/16')).toEqual({
      gateway: '10.87.0.1',
      bits: 16,
      cidr: '10.87.0.0/16',
    })
    expect(hardwareAddress('10.87.0.9')).toBe('02:70:0a:57:00:09')
  })
})

test('the firewall lets apps reach the router alone', () => {
  const text = firewall(readConfig({ PAAS_HTTP_PORT: '8080', PAAS_HTTPS_PORT: '8443' }))
  expect(text).toContain('iifname "paas" tcp dport { 8080, 8443 } accept\n    iifname "paas" drop')
  expect(text).toContain('ip saddr 10.87.0.0/16 oifname != "paas" masquerade')
})

describe('sockets', () => {
  const text = `  sl  local_address rem_address   st tx_queue
   0: 0100007F:1388 00000000:0000 0A 00000000
   1: 0900570A:1388 0100570A:D431 01 00000000
   2: 00000000000000000000000000000000:0BB8 00000000000000000000000000000000:0000 0A
   3: 00000000000000000000000001000000:0BB9 00000000000000000000000000000000:0000 0A
`
  test('are read from the kernel', () => {
    expect(parseSockets(text)).toEqual([
      { address: '127.0.0.1', port: 5000, state: 'listen' },
      { address: '10.87.0.9', port: 5000, state: 'open' },
      { address: '[::]', port: 3000, state: 'listen' },
      { address: '[::1]', port: 3001, state: 'listen' },
    ])
  })

  test('explain why nobody answers', () => {
    const [local, , other] = parseSockets(text)
    if (!local || !other) throw new Error('The text above has both')
    expect(explainSockets('web', 5000, [local])).toBe(
      'web listens on 127.0.0.1:5000, which only the app itself can reach; it must listen on 0.0.0.0',
    )
    expect(explainSockets('web', 5000, [local, other])).toBe(
      'web listens on port 3000, not on $PORT (5000)',
    )
    expect(explainSockets('web', 5000, [])).toBeUndefined()
  })
})

describe('log lines', () => {
  const file = parseLogFile('web.1.v7.0123456789ab.log')

  test('come from names and entries', () => {
    const none = { piece: undefined, compressed: false }
    expect(file).toEqual({ process: 'web.1', release: 7, id: '0123456789ab', ...none })
    if (!file) throw new Error('A good name')
    expect(parseLogFile(logPiece(file, 3))).toEqual({ ...file, piece: 3 })
    expect(parseLogFile('web.1.v7.0123456789ab.log.tmp')).toBeUndefined()
    const read = lineReader(file, 100)
    const entry = Buffer.from(formatEntry(new Date(0), 'stderr', 'hello').trimEnd())
    expect(read(entry)).toEqual({
      at: '1970-01-01T00:00:00.000000000Z',
      process: 'web.1',
      release: 7,
      stream: 'stderr',
      text: 'hello',
    })
  })

  test('are put together from parts, and cut when too long', () => {
    if (!file) throw new Error('A good name')
    const read = lineReader(file, 8)
    const part = (tag: string, text: string) =>
      read(Buffer.from(`2026-01-02T03:04:05.5+01:00 stdout ${tag} ${text}`))
    expect(part('P', 'abc')).toBeUndefined()
    expect(part('F', 'def')).toMatchObject({ text: 'abcdef', at: '2026-01-02T02:04:05.500000000Z' })
    expect(part('P', '0123456789')).toMatchObject({ text: '0123456789' })
  })

  test('are cut from a stream without losing a character', () => {
    const lines: string[] = []
    const splitter = lineSplitter((line) => void lines.push(line))
    const bytes = Buffer.from('höre\r\nalles')
    splitter.write(bytes.subarray(0, 2))
    splitter.write(bytes.subarray(2))
    splitter.end()
    expect(lines).toEqual(['höre', 'alles'])
  })
})

test('name servers that only the host can reach are dropped', () => {
  expect(withoutLoopback('nameserver 127.0.0.53\nnameserver 192.0.2.1\nsearch x\n')).toBe(
    'nameserver 192.0.2.1\nsearch x\n',
  )
})

test('versions are compared as numbers', () => {
  expect(isAtLeast('runc version 1.1.5+ds1', [1, 2, 8])).toBe(false)
  expect(isAtLeast('runc version 1.2.10', [1, 2, 8])).toBe(true)
  expect(isAtLeast('runc version 1.3.0', [1, 2, 8])).toBe(true)
})

test('tables that drop forwarded packets by default are found', () => {
  const text = `table ip filter {
	chain FORWARD {
		type filter hook forward priority filter; policy drop;
	}
}
table inet paas {
	chain forward {
		type filter hook forward priority filter; policy accept;
	}
}`
  expect(forwardDrops(text)).toEqual(['ip filter'])
})

test('a Caddy before 2.11 is weaker, and said to be', () => {
  expect(judgeCaddy('2.6.2')).toMatchObject({ ok: false, hint: expect.stringContaining('2.11') })
  for (const good of ['v2.11.4 h1:x=', '2.11.0', '3.0.0']) expect(judgeCaddy(good).ok).toBe(true)
})
