import type { Release } from '../../core/types.ts'
import type { Member } from './fleet.ts'
import { wantedProcesses } from './processes.ts'

/** Pure: what an app runs, beside what its release wants to run. */
export type Differences = {
  /** What is as it should be: one for each process, the younger of two. */
  kept: Member[]
  /** The processes that nothing is for. */
  missing: string[]
  /** What is to go: what nobody wants, and what another is there for. */
  surplus: Member[]
}

/**
 * Nobody judges what only starts, or leaves already. Something of another release, or unwatched,
 * stays for as long as nothing is in its place.
 */
export function differences(members: Member[], release: Release | undefined): Differences {
  const wanted = release ? wantedProcesses(release) : []
  const kept = new Map<string, Member>()
  for (const member of members) {
    if (member.state !== 'live' || member.release !== release?.version) continue
    const twin = kept.get(member.process)
    if (wanted.includes(member.process) && !(twin && twin.startedAt > member.startedAt)) {
      kept.set(member.process, member)
    }
  }
  return {
    kept: [...kept.values()],
    missing: wanted.filter((process) => !kept.has(process)),
    surplus: members.filter((member) => {
      if (member.state !== 'live' && member.state !== 'unwatched') return false
      const own = kept.get(member.process)
      return own ? own !== member : !wanted.includes(member.process)
    }),
  }
}
