import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { readConfig } from '../core/config.ts'
import { Failure } from '../core/errors.ts'
import { exec, spawnGroup, waitForEnd } from '../core/exec.ts'
import { repository, say, script } from './script.ts'

/**
 * Runs a command in a clone of this repository (what is committed) on a machine that has nothing:
 * a bare Debian in namespaces of its own, with its own network, processes and control groups.
 * `node scripts/fresh.ts [--suite trixie] [-- COMMAND…]`; by default the demo twice, then down.
 */

const commandTimeoutMs = 60 * 60_000
const defaultCommand = './scripts/demo && ./scripts/demo && ./scripts/down --purge'

await script(async () => {
  const { values, positionals } = parseArgs({
    options: { suite: { type: 'string', default: 'bookworm' } },
    allowPositionals: true,
  })
  await using undo = new AsyncDisposableStack()
  const image = await baseImage(values.suite)
  const root = await mkdtemp(join(tmpdir(), `fresh-${values.suite}-`))
  undo.defer(() => rm(root, { recursive: true, force: true }))
  await exec('tar', ['-xf', image, '-C', root], { timeoutMs: 5 * 60_000 })
  await exec('git', ['clone', '--quiet', '--', repository, join(root, 'root/paas')])
  await copyHostFiles(root)
  const name = `fresh${process.pid % 10_000}`
  await makeNetwork(name, undo)
  const groups = await makeGroups(name, undo)
  const words = positionals.length > 0 ? positionals : ['sh', '-ec', defaultCommand]
  const enter = join(import.meta.dirname, 'fresh-enter.sh')
  const machine = spawnGroup('sh', [enter, name, root, groups.join(' '), ...words], {
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const interrupted = new AbortController()
  process.once('SIGINT', () => interrupted.abort()).once('SIGTERM', () => interrupted.abort())
  const limits = { signal: interrupted.signal, timeoutMs: commandTimeoutMs }
  const code = await waitForEnd(machine, limits)
  if (code !== 0) throw new Failure('failed', `The command ended with ${code} on ${values.suite}`)
  say(`-----> Good on ${values.suite}`)
})

/** A bare Debian as a tar file, made once. */
async function baseImage(suite: string): Promise<string> {
  const dir = join(readConfig(process.env).cache, 'fresh')
  const image = join(dir, `${suite}.tar`)
  if (existsSync(image)) return image
  await mkdir(dir, { recursive: true })
  const made = join(dir, `${suite}.new.tar`)
  await exec('mmdebstrap', ['--variant=minbase', '--', suite, made], { timeoutMs: 10 * 60_000 })
  await rename(made, image)
  return image
}

/** What a machine's provider would have put there: a resolver, and the site's own authorities. */
async function copyHostFiles(root: string): Promise<void> {
  await cp('/etc/resolv.conf', join(root, 'etc/resolv.conf'), { dereference: true })
  await writeFile(join(root, 'etc/hosts'), '127.0.0.1 localhost\n')
  const authorities = 'usr/local/share/ca-certificates'
  if (!existsSync(`/${authorities}`)) return
  await cp(`/${authorities}`, join(root, authorities), { recursive: true })
}

/** A network of its own, that reaches out through ours. */
async function makeNetwork(name: string, undo: AsyncDisposableStack): Promise<void> {
  const subnet = `10.231.${process.pid % 250}`
  undo.defer(() => ip('netns', 'delete', name))
  await ip('netns', 'add', name)
  await ip('link', 'add', name, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name)
  await ip('address', 'add', `${subnet}.1/24`, 'dev', name)
  await ip('link', 'set', name, 'up')
  await ip('-n', name, 'address', 'add', `${subnet}.2/24`, 'dev', 'eth0')
  await ip('-n', name, 'link', 'set', 'eth0', 'up')
  await ip('-n', name, 'link', 'set', 'lo', 'up')
  await ip('-n', name, 'route', 'add', 'default', 'via', `${subnet}.1`)
  await writeFile('/proc/sys/net/ipv4/ip_forward', '1')
  undo.defer(async () => void (await exec('nft', ['delete', 'table', 'ip', name])))
  const rule = `ip saddr ${subnet}.0/24 oifname != "${name}" masquerade`
  const chain = `chain out {\n type nat hook postrouting priority srcnat\n ${rule}\n }`
  await exec('nft', ['-f', '-'], { input: `table ip ${name} {\n ${chain}\n}\n` })
}

/** A control group in every hierarchy of the host; inside it looks like the root. */
async function makeGroups(name: string, undo: AsyncDisposableStack): Promise<string[]> {
  const mounts = await readFile('/proc/self/mounts', 'utf8')
  const groups: string[] = []
  for (const [, at = ''] of mounts.matchAll(/^\S+ (\S+) cgroup2? /gm)) {
    const group = join(at, name)
    await mkdir(group, { recursive: true })
    groups.push(group)
    undo.defer(async () => void (await exec('find', [group, '-depth', '-type', 'd', '-delete'])))
    for (const file of ['cpuset.cpus', 'cpuset.mems']) {
      if (!existsSync(join(group, file))) continue
      await writeFile(join(group, file), await readFile(join(at, file)))
    }
  }
  return groups
}

async function ip(...args: string[]): Promise<void> {
  await exec('ip', args)
}
