import { existsSync, readdirSync, readlinkSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { exec, killGroup, spawnGroup } from '../../core/exec.ts'
import { kernelNames, newId, paths } from '../../core/names.ts'
import { hardwareAddress, parseSubnet } from '../../runner/address.ts'
import { dial } from '../../runner/dial.ts'
import { networkMessages, noCableMessages } from '../../runner/links.ts'
import { decode, encode } from '../../runner/netlink.ts'
import { joinNetwork, removeLink } from '../../runner/network.ts'
import { never, openTestHost, type TestHost, until } from './fixture.ts'

describe('a message for rtnetlink', () => {
  test('is what ip(8) sends to remove a link', () => {
    const head = '28000000110005000000000000000000' // length, type, flags, place, sender
    const name = '0800030070763000'
    expect(encode(noCableMessages('pv0')).toString('hex')).toBe(head + '00'.repeat(16) + name)
  })

  test('fills its attributes up to whole words and counts its place', () => {
    const bytes = encode([...noCableMessages('p'), ...noCableMessages('pv012')])
    const second = bytes.subarray(bytes.readUInt32LE(0))
    expect(bytes.readUInt32LE(0)).toBe(40)
    expect(second.readUInt32LE(0)).toBe(second.length)
    expect(second.length).toBe(44) // 16 + 16 + 4 + 6, and two to fill up
    expect(second.readUInt32LE(8)).toBe(1)
  })

  test('carries addresses in the order of the wire', () => {
    const own = { link: 2, address: '10.87.0.9', bits: 16, gateway: '10.87.0.1' }
    const text = encode(networkMessages(own)).toString('hex')
    expect(text).toContain('0210000002000000080002000a570009')
    expect(text).toContain('080005000a570001')
  })

  test('is answered with an error number and words', () => {
    const number = Buffer.alloc(4)
    number.writeInt32LE(-17)
    const words = Buffer.from('0a0001006e6f20736f000000', 'hex')
    const told = Buffer.concat([answerHead(48, 0x200), number, Buffer.alloc(16), words])
    expect(decode(told)).toEqual({ place: 3, errno: 17, text: 'no so' })
    const good = Buffer.concat([answerHead(36, 0), Buffer.alloc(20)])
    expect(decode(good)).toEqual({ place: 3, errno: 0, text: '' })
    expect(decode(Buffer.alloc(8))).toBeUndefined()
  })
})

describe('a network', () => {
  let t: TestHost
  beforeAll(async () => void (t = await openTestHost()))
  afterAll(() => t[Symbol.asyncDispose]())

  test('asks for an address again at once: that nobody has it is known within a second', async () => {
    const { gateway } = parseSubnet(t.config.subnet)
    const nobody = gateway.replace(/\d+$/, '250')
    const began = performance.now()
    const seen = await dial(nobody, 5000, { timeoutMs: 30_000, signal: never })
    expect(seen).toBe('host unreachable')
    expect(performance.now() - began).toBeLessThan(2500) // it would be three seconds
  })

  test('gets a link to the bridge alone, an address and a way out, and gives them back', async () => {
    await using other = await otherNetwork()
    const { id, address } = t.spec([])
    const home = readlinkSync('/proc/thread-self/ns/net')
    await joinNetwork(t.host, { id, process: 'web.1', address }, other.pid)
    expect(readlinkSync('/proc/thread-self/ns/net')).toBe(home)

    const { gateway, bits } = parseSubnet(t.config.subnet)
    const up: unknown = expect.arrayContaining(['UP'])
    expect(await other.ip('address', 'show')).toMatchObject([
      { ifname: 'lo', flags: up },
      {
        ifname: 'eth0',
        flags: up,
        address: hardwareAddress(address),
        addr_info: [{ family: 'inet', local: address, prefixlen: bits }],
      },
    ])
    const routes = await other.ip('route', 'show', 'default')
    expect(routes).toMatchObject([{ dst: 'default', gateway, dev: 'eth0' }])

    const { bridge, veth } = kernelNames(t.config)
    const { stdout } = await exec('ip', ['-json', '-details', 'link', 'show', veth(id)])
    const linkinfo = { info_slave_data: { isolated: true } }
    const port = { master: bridge, inet6_addr_gen_mode: 'none', linkinfo }
    expect(JSON.parse(stdout)).toMatchObject([port])

    await removeLink(veth(id))
    expect(existsSync(`/sys/class/net/${veth(id)}`)).toBe(false)
    await removeLink(veth(id)) // nothing is left to remove
  })

  test('is refused in a sentence, with nothing left open, and never changed if it is ours', async () => {
    await using other = await otherNetwork()
    const { id, address } = t.spec([])
    const spec = { id, process: 'web.1', address }
    await joinNetwork(t.host, spec, other.pid)
    const before = readdirSync('/proc/self/fd').length
    await expect(joinNetwork(t.host, spec, other.pid)).rejects.toThrow(
      /^Could not join web\.1 to the network: .*EEXIST/,
    )
    const ours = { ...spec, id: newId() }
    await expect(joinNetwork(t.host, ours, process.pid)).rejects.toThrow('none of its own')
    expect(existsSync(`/sys/class/net/${kernelNames(t.config).veth(ours.id)}`)).toBe(false)
    expect(readdirSync('/proc/self/fd')).toHaveLength(before)
    await removeLink(kernelNames(t.config).veth(id))
  })

  test('that cannot be had ends a start and leaves nothing', async () => {
    const { bridge } = kernelNames(t.config)
    await exec('ip', ['link', 'set', bridge, 'name', `${bridge}x`])
    try {
      await expect(t.start(['sleep', '1000'])).rejects.toThrow('Could not join web.1')
      await expect(t.run(['true'])).rejects.toThrow('Could not join web.1')
    } finally {
      await exec('ip', ['link', 'set', `${bridge}x`, 'name', bridge])
    }
    expect(readdirSync(paths(t.config).bundles)).toEqual([])
    expect((await t.run(['true'])).code).toBe(0)
  })
})

function answerHead(length: number, flags: number): Buffer {
  const bytes = Buffer.alloc(16)
  bytes.writeUInt32LE(length, 0)
  bytes.writeUInt16LE(2, 4)
  bytes.writeUInt16LE(flags, 6)
  bytes.writeUInt32LE(3, 8)
  return bytes
}

/** A network that nothing but a sleeping program is in. */
async function otherNetwork() {
  const child = spawnGroup('unshare', ['--net', '--', 'sleep', '1000'], { stdio: 'ignore' })
  const pid = child.pid ?? 0
  const own = readlinkSync('/proc/self/ns/net')
  await until('it is made', () => readlinkSync(`/proc/${pid}/ns/net`) !== own)
  return {
    pid,
    ip: async (...args: string[]): Promise<unknown> => {
      const inside = ['--target', String(pid), '--net', '--', 'ip', '-json', ...args]
      return JSON.parse((await exec('nsenter', inside)).stdout)
    },
    [Symbol.asyncDispose]: () => killGroup(child, 1000),
  }
}
