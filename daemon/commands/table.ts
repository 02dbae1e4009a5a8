import { appCommands } from './apps.ts'
import { buildCommands } from './builds.ts'
import type { Command } from './command.ts'
import { configCommands } from './config.ts'
import { domainCommands } from './domains.ts'
import { gitCommands } from './git.ts'
import { help } from './help.ts'
import { hostCommands } from './host.ts'
import { keyCommands } from './keys.ts'
import { logCommands } from './logs.ts'
import { maintenanceCommands } from './maintenance.ts'
import { pluginCommands } from './plugins.ts'
import { processCommands } from './ps.ts'
import { releaseCommands } from './releases.ts'
import { resourceCommands } from './resource.ts'
import { runCommands } from './run.ts'

/** Every command there is, whatever door it is called through. A new namespace is one line. */
export const table: Command[] = [
  ...appCommands,
  ...buildCommands,
  ...configCommands,
  ...domainCommands,
  ...gitCommands,
  ...keyCommands,
  ...logCommands,
  ...maintenanceCommands,
  ...pluginCommands,
  ...processCommands,
  ...releaseCommands,
  ...resourceCommands,
  ...runCommands,
  ...hostCommands,
  help,
].sort((a, b) => a.name.localeCompare(b.name))
