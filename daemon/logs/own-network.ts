import { lookup } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import { networkInterfaces } from 'node:os'
import { setTimeout as pause } from 'node:timers/promises'
import { Failure } from '../../core/errors.ts'

/** Keeps what is sent for a key holder away from this machine and from the apps on it. */

const lookupTimeoutMs = 5000

/** Throws a Failure where `host`, an address or a name of one, is our own. */
export type Gate = { lookup: LookupFunction; check: (host: string) => void }

/** `subnet` is that of the apps. Every connection asks again what a name stands for. */
export function outsideOnly(subnet: string): Gate {
  return {
    check: (host) => {
      if (isIP(host) && isOwn(host, subnet)) throw ownFailure(host)
    },
    lookup: (host, options, done) => {
      lookup(host, { ...options, all: true }, (error, found) => {
        const own = found?.find(({ address }) => isOwn(address, subnet))
        const failure = error ?? (own && ownFailure(`${host} (${own.address})`))
        if (failure || options.all) return done(failure ?? null, failure ? [] : found)
        done(null, found[0]?.address ?? '', found[0]?.family)
      })
    },
  }
}

/** Throws that Failure where it can be known by now: a name that is not found may be so later. */
export async function refuseOwn(gate: Gate, host: string): Promise<void> {
  gate.check(host)
  if (isIP(host)) return
  const { promise, resolve } = Promise.withResolvers<unknown>()
  gate.lookup(host, { all: true }, resolve)
  const problem = await Promise.race([promise, pause(lookupTimeoutMs, undefined, { ref: false })])
  if (problem instanceof Failure) throw problem
}

/** Loopback, link-local and their like; the apps' network; what this machine is called itself. */
export function isOwn(address: string, subnet: string): boolean {
  const own = new BlockList()
  for (const range of [...special, subnet]) {
    const [base = '', bits] = range.split('/')
    own.addSubnet(base, Number(bits), family(base))
  }
  for (const one of Object.values(networkInterfaces()).flat()) {
    if (one) own.addAddress(one.address, family(one.address))
  }
  return own.check(address, family(address))
}

const special = [
  ...['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3'],
  ...['::/127', 'fe80::/10', 'ff00::/8'],
]

function family(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 6 ? 'ipv6' : 'ipv4'
}

function ownFailure(shown: string): Failure {
  return new Failure(
    'forbidden',
    `${shown} is this server itself, an app on it, or of its link alone`,
    {
      hint: 'Root on the server may add such a drain: paas logs:drain add APP URL',
    },
  )
}
