import type { PaasConfig } from '../../core/config.ts'
import type { Layer, Say } from '../../core/types.ts'
import type { Base } from '../base/base.ts'
import type { AptPackages, ToolRequest } from '../buildpack-detect/plan.ts'
import { caddyRuntime } from './caddy.ts'
import { bunRuntime, denoRuntime } from './bun-deno.ts'
import { npmRuntime, pnpmRuntime, yarnRuntime } from './managers.ts'
import { dotnetRuntime, dotnetSdk } from './dotnet.ts'
import { goRuntime } from './go.ts'
import { nodeRuntime } from './node.ts'
import { rustRuntime } from './rust.ts'
import type { Choice } from './versions.ts'

export type RuntimeContext = {
  config: PaasConfig
  say: Say
  signal: AbortSignal
  /** `GIT_SSH_COMMAND` for tools that are repositories. */
  ssh?: () => Promise<string>
  /** What takes the place of the stack, and has what Debian's own tools there are. */
  base?: Base | undefined
}

/** How a tool comes onto the host: choose a version, name its layer, fill it. */
export type Runtime = {
  choose(request: ToolRequest, context: RuntimeContext): Promise<Choice>
  layer(version: string): Layer
  /** Fills an empty directory that becomes a layer: `<dir>/usr/local/…`, owned by root. */
  make(version: string, dir: string, context: RuntimeContext): Promise<void>
  /** Debian packages that it does not run without. */
  packages?(version: string): AptPackages
  /** Environment of the build steps that run with it. */
  buildEnv(version: string): Record<string, string>
}

/** A tool of its own source is one file and one line here; one of the suite's needs neither. */
export const runtimes: Record<string, Runtime> = {
  node: nodeRuntime,
  npm: npmRuntime,
  pnpm: pnpmRuntime,
  yarn: yarnRuntime,
  bun: bunRuntime,
  deno: denoRuntime,
  caddy: caddyRuntime,
  go: goRuntime,
  rust: rustRuntime,
  dotnet: dotnetSdk,
  aspnetcore: dotnetRuntime,
}
