import { byText } from '../../core/names.ts'
import { appCommands } from './apps.ts'
import { builderCommands } from './builder.ts'
import { buildpackCommands } from './buildpacks.ts'
import { buildCommands } from './builds.ts'
import { checkCommands } from './checks.ts'
import type { Command } from './command.ts'
import { configCommands } from './config.ts'
import { cronCommands } from './cron.ts'
import { diskCommands } from './disk.ts'
import { diffCommands } from './releases-diff.ts'
import { sbomCommands } from './releases-sbom.ts'
import { domainCommands } from './domains.ts'
import { drainCommands } from './drains.ts'
import { eventCommands } from './events.ts'
import { gitCommands } from './git.ts'
import { help } from './help.ts'
import { hostCommands } from './host.ts'
import { imageCommands } from './images.ts'
import { keyCommands } from './keys.ts'
import { logCommands } from './logs.ts'
import { metricCommands } from './metrics.ts'
import { maintenanceCommands } from './maintenance.ts'
import { pluginCommands } from './plugins.ts'
import { processCommands } from './ps.ts'
import { registryCommands } from './registry.ts'
import { releaseCommands } from './releases.ts'
import { resourceCommands } from './resource.ts'
import { runCommands } from './run.ts'
import { stackCommands } from './stack.ts'
import { storageCommands } from './storage.ts'
import { whyCommands } from './why.ts'

/** Every command there is, whatever door it is called through. A new namespace is one line. */
export const table: Command[] = [
  ...appCommands,
  ...builderCommands,
  ...buildpackCommands,
  ...buildCommands,
  ...checkCommands,
  ...configCommands,
  ...cronCommands,
  ...diskCommands,
  ...domainCommands,
  ...drainCommands,
  ...eventCommands,
  ...gitCommands,
  ...imageCommands,
  ...diffCommands,
  ...sbomCommands,
  ...keyCommands,
  ...logCommands,
  ...metricCommands,
  ...maintenanceCommands,
  ...pluginCommands,
  ...processCommands,
  ...registryCommands,
  ...releaseCommands,
  ...resourceCommands,
  ...runCommands,
  ...stackCommands,
  ...storageCommands,
  ...whyCommands,
  ...hostCommands,
  help,
].sort((a, b) => byText(a.name, b.name))
