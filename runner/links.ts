import { attribute, type Message, number32, number8, type Part, text } from './netlink.ts'

/** A container's cable to the bridge, as messages for rtnetlink. Pure. */

const types = { newLink: 16, deleteLink: 17, newAddress: 20, newRoute: 24 }
const exclusive = 0x600 // make it, and fail where there is one already
const up = 1
const family = { ipv4: 2, ipv6: 10 }
const link = { hardware: 1, name: 3, master: 10, info: 18, families: 26, namespace: 28 }
const info = { kind: 1, data: 2, slaveKind: 4, slaveData: 5 }
const peer = 1
const isolated = 33
const generation = { mode: 8, none: 1 }
const local = 2
const route = { gateway: 5, mainTable: 254, byBoot: 3, unicast: 1 }

const loopback = 1
/**
 * The pair, made in the host's network: one end on the bridge of that number, alone with it and
 * the world, the other in the namespace of that file descriptor, as eth0.
 */
export function cableMessages(o: {
  name: string
  bridge: number
  namespace: number
  hardware: string
}): Message[] {
  const hardware = Buffer.from(o.hardware.replaceAll(':', ''), 'hex')
  const far = [
    linkHeader(0),
    text(link.name, 'eth0'),
    attribute(link.hardware, hardware),
    number32(link.namespace, o.namespace),
  ]
  const pair = attribute(
    link.info,
    text(info.kind, 'veth'),
    attribute(info.data, attribute(peer, ...far)),
  )
  const port = attribute(
    link.info,
    text(info.slaveKind, 'bridge'),
    attribute(info.slaveData, number8(isolated, 1)),
  )
  const name = text(link.name, o.name)
  return [
    newLink([linkHeader(0), name, number32(link.master, o.bridge), pair], exclusive),
    newLink([linkHeader(0), name, port, withoutOwnAddresses()]),
    newLink([linkHeader(0, up), name]),
  ]
}

/** What the container's network is told, where eth0 has the number `link`. */
export function networkMessages(o: {
  link: number
  address: string
  bits: number
  gateway: string
}): Message[] {
  const own = Buffer.from([family.ipv4, o.bits, 0, 0, 0, 0, 0, 0])
  own.writeUInt32LE(o.link, 4)
  const { mainTable, byBoot, unicast } = route
  const everywhere = Buffer.from([family.ipv4, 0, 0, 0, mainTable, byBoot, 0, unicast, 0, 0, 0, 0])
  return [
    newLink([linkHeader(loopback, up)]),
    newLink([linkHeader(o.link), withoutOwnAddresses()]),
    newLink([linkHeader(o.link, up)]),
    {
      type: types.newAddress,
      flags: exclusive,
      body: [own, attribute(local, octets(o.address))],
    },
    {
      type: types.newRoute,
      flags: exclusive,
      body: [everywhere, attribute(route.gateway, octets(o.gateway))],
    },
  ]
}

/** Takes the host's end away, and with it the container's. */
export function noCableMessages(name: string): Message[] {
  return [{ type: types.deleteLink, flags: 0, body: [linkHeader(0), text(link.name, name)] }]
}

function newLink(body: Part[], flags = 0): Message {
  return { type: types.newLink, flags, body }
}

/** What says which link is meant, 0 for one that is told by its name, and whether it comes up. */
function linkHeader(number: number, flags = 0): Buffer {
  const header = Buffer.alloc(16)
  header.writeUInt32LE(number, 4)
  header.writeUInt32LE(flags, 8)
  header.writeUInt32LE(flags, 12) // those that change
  return header
}

/** The kernel gives a link an IPv6 address by itself otherwise, and tells the neighbours. */
function withoutOwnAddresses() {
  const mode = number8(generation.mode, generation.none)
  return attribute(link.families, attribute(family.ipv6, mode))
}

function octets(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number))
}
