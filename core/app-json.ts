/** What an app's own `app.json` asks for, as paas keeps it with the image (contract §7). */
export type AppJson = {
  env: Record<string, EnvEntry>
  formation: Record<string, TypeWish>
  healthchecks: Record<string, HealthCheck[]>
  scripts: Scripts
}

/** One key of the config. Set at the first deploy only, unless `sync`. */
export type EnvEntry = {
  value?: string
  /** The deploy fails when the key has no value in the end. */
  required: boolean
  /** A random value is made when there is none. */
  generate: boolean
  /** The value here is the app's at every deploy, whatever was set. */
  sync: boolean
}

/** How a process type is to run. Quantity, memory and CPU hold when the type is first deployed. */
export type TypeWish = {
  quantity?: number
  memoryBytes?: number
  cpus?: number
  /** Old and new never run at the same time: the old one stops before the new one starts. */
  exclusive: boolean
}

/** Commands, as a shell reads them. `firstDeploy` is what Heroku calls `scripts.postdeploy`. */
export type Scripts = { predeploy?: string; postdeploy?: string; firstDeploy?: string }

export type HealthCheck = {
  type: 'startup' | 'readiness' | 'liveness'
  probe: Probe
  attempts: number
  timeoutMs: number
  /** Undefined when app.json does not say: polled until good, or every 5 s for liveness. */
  waitMs?: number
  initialDelayMs: number
}

/** What is asked of a process; `port` is within the container, its $PORT where there is none. */
export type Probe =
  | { kind: 'path'; path: string; port?: number }
  | { kind: 'command'; argv: string[] }
  | { kind: 'uptime'; uptimeMs: number }
  | { kind: 'listening'; port?: number }
