import type { AppJson, HealthCheck, Probe, TypeWish } from '../../core/app-json.ts'
import { number, object, text } from './values.ts'

/** The app.json of an image, read back; the builder has checked it, so a wrong one is a defect. */
export function toAppJson(value: unknown): AppJson {
  const { env, formation, healthchecks, scripts } = object(value)
  return {
    env: mapped(env, (one) => {
      const entry = object(one)
      return {
        ...defined('value', entry.value, text),
        required: entry.required === true,
        generate: entry.generate === true,
        sync: entry.sync === true,
      }
    }),
    formation: mapped(formation, toTypeWish),
    healthchecks: mapped(healthchecks, (list) => {
      if (!Array.isArray(list)) throw new TypeError('health checks without a list in the database')
      return list.map(toHealthCheck)
    }),
    scripts: mapped(scripts, text),
  }
}

function toTypeWish(value: unknown): TypeWish {
  const { quantity, memoryBytes, cpus, exclusive } = object(value)
  return {
    ...defined('quantity', quantity, number),
    ...defined('memoryBytes', memoryBytes, number),
    ...defined('cpus', cpus, number),
    exclusive: exclusive === true,
  }
}

function toHealthCheck(value: unknown): HealthCheck {
  const { type, probe, attempts, timeoutMs, waitMs, initialDelayMs } = object(value)
  const types = ['startup', 'readiness', 'liveness'] as const
  const known = types.find((one) => one === type)
  if (!known) throw new TypeError(`unknown health check ${String(type)} in the database`)
  return {
    type: known,
    probe: toProbe(object(probe)),
    attempts: number(attempts),
    timeoutMs: number(timeoutMs),
    ...defined('waitMs', waitMs, number),
    initialDelayMs: number(initialDelayMs),
  }
}

function toProbe({ kind, path, port, argv, uptimeMs }: Record<string, unknown>): Probe {
  if (kind === 'path') return { kind, path: text(path), ...defined('port', port, number) }
  if (kind === 'listening') return { kind, ...defined('port', port, number) }
  if (kind === 'uptime') return { kind, uptimeMs: number(uptimeMs) }
  if (kind === 'command' && Array.isArray(argv)) return { kind, argv: argv.map(text) }
  throw new TypeError(`unknown probe ${String(kind)} in the database`)
}

function mapped<T>(value: unknown, read: (value: unknown) => T): Record<string, T> {
  return Object.fromEntries(Object.entries(object(value)).map(([key, one]) => [key, read(one)]))
}

function defined<K extends string, T>(key: K, value: unknown, read: (value: unknown) => T) {
  const result: Partial<Record<K, T>> = {}
  if (value !== undefined) result[key] = read(value)
  return result
}
