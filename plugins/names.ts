/**
 * Every trigger there is, in the order of a push, then the others: the one table that `trigger.ts`,
 * the documentation and the tests read. `stops`: a failing script stops the act. `args`: what a
 * script gets as its arguments; `PAAS_APP` and `PAAS_URL` are set for all, the rest where known.
 */
export const triggers = {
  'receive-branch': { stops: true, args: ['BRANCH', 'COMMIT'], when: 'a push brought a branch' },
  'post-extract': { stops: true, args: ['DIRECTORY'], when: 'the tree lies in DIRECTORY' },
  'pre-build': { stops: true, args: ['DIRECTORY'], when: 'before the language is detected' },
  'post-build': { stops: false, args: [], when: 'the image is made' },
  'pre-release': { stops: true, args: [], when: 'before a release is written' },
  'post-release': { stops: false, args: [], when: 'a release is written, nothing started' },
  'pre-deploy': { stops: true, args: [], when: 'before the new processes start' },
  'check-deploy': { stops: true, args: [], when: 'the new processes are ready' },
  'pre-switch': { stops: true, args: [], when: 'before requests reach them' },
  'post-deploy': { stops: false, args: [], when: 'requests reach them; the client may be gone' },
  'deploy-failed': { stops: false, args: [], when: 'a change failed; PAAS_ERROR says why' },
  'post-create': { stops: false, args: [], when: 'an app was created' },
  'pre-destroy': { stops: true, args: [], when: 'before an app is destroyed' },
  'post-destroy': { stops: false, args: [], when: 'an app was destroyed' },
  'post-config-update': { stops: false, args: ['KEY ...'], when: 'config was set or unset' },
  'post-domains-update': { stops: false, args: ['DOMAIN ...'], when: 'domains changed' },
  'post-scale': { stops: false, args: ['TYPE=COUNT ...'], when: 'the formation changed' },
  'pre-start': { stops: true, args: ['PROCESS'], when: 'before a container starts' },
  'post-stop': { stops: false, args: ['PROCESS'], when: 'a container was stopped' },
  urls: { stops: false, args: [], when: 'URLs of an app are shown; prints more of them' },
  commands: {
    stops: true,
    args: ['COMMAND', 'ARGUMENT ...'],
    when: "a command of the plugin's own is called",
  },
  'user-auth': { stops: true, args: ['USER', 'COMMAND ...'], when: 'somebody asks for something' },
  'process-died': { stops: false, args: ['PROCESS', 'CODE'], when: 'a process ended by itself' },
} as const satisfies Record<string, { stops: boolean; args: string[]; when: string }>

export type TriggerName = keyof typeof triggers

export function isTriggerName(name: string): name is TriggerName {
  return Object.hasOwn(triggers, name)
}
