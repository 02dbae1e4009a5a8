import { Failure } from '../core/errors.ts'

/** IPv4 arithmetic of the apps' subnet, all pure. */

export type Subnet = { gateway: string; bits: number; cidr: string }

/** The bridge's own address (the first one) and the mask of a CIDR such as `10.87.0.0/16`. */
export function parseSubnet(cidr: string): Subnet {
  const { network, bits } = range(cidr)
  return { gateway: text(network + 1), bits, cidr: `${text(network)}/${bits}` }
}

/**
 * A free address, searched upwards from `last` and round again, so that an address rests as long
 * as possible before it is given to another app. Throws a temporary Failure when all are in use.
 */
export function nextAddress(cidr: string, used: ReadonlySet<string>, last?: string): string {
  const { network, bits } = range(cidr)
  const first = network + 2 // after the network's own and the bridge's
  const count = 2 ** (32 - bits) - 3 // and before the broadcast address
  const start = last === undefined ? 0 : number(last) - first + 1
  for (let step = 0; step < count; step++) {
    const address = text(first + ((((start + step) % count) + count) % count))
    if (!used.has(address)) return address
  }
  throw new Failure('temporary', `All ${count} addresses of ${cidr} are in use`, {
    hint: 'Give the instance a larger PAAS_SUBNET',
  })
}

/** A hardware address that follows from the IP, so that no neighbour's table is ever stale. */
export function hardwareAddress(address: string): string {
  const bytes = address.split('.').map((part) => Number(part).toString(16).padStart(2, '0'))
  return ['02', '70', ...bytes].join(':')
}

/** Does the network or address `inner` lie within `outer`, or is it the same? */
export function isWithin(inner: string, outer: string): boolean {
  const [a, b] = [range(inner), range(outer)]
  const block = 2 ** (32 - b.bits)
  return a.bits >= b.bits && Math.floor(a.network / block) * block === b.network
}

function range(cidr: string): { network: number; bits: number } {
  const [base = '', size = '32'] = cidr.split('/')
  const bits = Number(size)
  const block = 2 ** (32 - bits)
  return { network: Math.floor(number(base) / block) * block, bits }
}

function number(address: string): number {
  return address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
}

function text(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join('.')
}
