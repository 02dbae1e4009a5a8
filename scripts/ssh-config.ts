/** The block for `~/.ssh/config` that makes `paas:shop` a remote and `ssh paas …` a command. */
export function sshConfigBlock(options: {
  hostName: string
  port: number
  /** Files that only the demo needs, for its key is not the user's own. */
  identityFile?: string
  knownHostsFile?: string
}): string {
  const { hostName, port, identityFile, knownHostsFile } = options
  const lines = ['Host paas', `  HostName ${hostName}`, `  Port ${port}`, '  User paas']
  if (identityFile) lines.push(`  IdentityFile "${identityFile}"`, '  IdentitiesOnly yes')
  if (knownHostsFile) lines.push(`  UserKnownHostsFile "${knownHostsFile}"`)
  return `${lines.join('\n')}\n`
}
