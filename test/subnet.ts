import { randomInt } from 'node:crypto'
import { networkInterfaces } from 'node:os'
import { workerShare } from './worker-share.ts'

/**
 * A network that no interface of this machine has: test files run beside one another, and two
 * bridges of one network get each other's answers.
 */
export function freeSubnet(bits = 24): string {
  const taken = Object.values(networkInterfaces()).flatMap((all) => all ?? [])
  for (;;) {
    const start = `10.${randomInt(...workerShare(128, 248))}.${randomInt(0, 125) * 2}`
    const next = start.replace(/\d+$/, (last) => String(Number(last) + 1))
    const isTaken = taken.some(({ address }) => {
      return [start, next].some((prefix) => address.startsWith(`${prefix}.`))
    })
    if (!isTaken) return `${start}.0/${bits}`
  }
}
