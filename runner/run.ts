import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Failure, stopIfCancelled } from '../core/errors.ts'
import { paths } from '../core/names.ts'
import type { Exit, InstanceSpec } from '../core/types.ts'
import { attach, type AttachedIo } from './attach.ts'
import { makeBundle } from './bundle.ts'
import { makeExit } from './exits.ts'
import { type Gate, makeGate } from './gate.ts'
import type { Host } from './host.ts'
import { joinNetwork } from './network.ts'
import { pidIn } from './processes.ts'
import { lastWords, rootArguments } from './runtime.ts'
import { removeInstance } from './stop.ts'

/**
 * Runs a container in the foreground to its end and removes it: for builds and one-off commands.
 * An abort or the deadline means SIGTERM, SIGKILL to everything in it a second later, and then a
 * Failure. With `keepScratch` what it wrote stays at `paths.scratch(id)/upper` for the caller, who
 * then calls removeScratch.
 */
export async function runAttached(
  host: Host,
  spec: InstanceSpec,
  io: AttachedIo,
  options: { keepScratch?: boolean } = {},
): Promise<Exit> {
  stopIfCancelled(io.signal)
  const undo = { keepScratch: false }
  try {
    const terminal = 'terminal' in io ? io.terminal : undefined
    const bundle = await makeBundle(host, { ...spec, terminal }, { gated: true })
    const exit = await runBundle(host, spec, bundle, io)
    undo.keepScratch = options.keepScratch ?? false
    return exit
  } finally {
    await removeInstance(host, spec.id, undo)
  }
}

/** Removes what `keepScratch` left. */
export async function removeScratch(host: Host, id: string): Promise<void> {
  await rm(paths(host.config).scratch(id), { recursive: true, force: true })
}

async function runBundle(
  host: Host,
  spec: InstanceSpec,
  bundle: string,
  io: AttachedIo,
): Promise<Exit> {
  const args = runArguments(host, spec.id, bundle)
  const unjoined = new AbortController()
  const signal = AbortSignal.any([io.signal, unjoined.signal])
  const gate = makeGate(bundle)
  const joined = joinAtGate(host, spec, gate).catch((error: unknown) => unjoined.abort(error))
  let code: number
  try {
    code = await attach(host.programs.runc(), args, spec.process, { ...io, signal })
  } finally {
    gate.close()
    await joined
  }
  if (pidIn(join(bundle, 'pid')) === undefined) throw await creationFailure(spec, bundle)
  return makeExit(host, spec.id, code)
}

async function joinAtGate(host: Host, spec: InstanceSpec, gate: Gate): Promise<void> {
  const pid = await gate.pid
  if (pid === undefined) return
  await joinNetwork(host, spec, pid)
  gate.open()
}

function runArguments(host: Host, id: string, bundle: string): string[] {
  const log = ['--log', join(bundle, 'runtime.log'), '--log-format', 'json']
  // --keep: its control group is still to be asked whether memory ran out.
  const run = ['run', '--keep', '--bundle', bundle, '--pid-file', join(bundle, 'pid'), id]
  return [...rootArguments(host), ...log, ...run]
}

async function creationFailure(spec: InstanceSpec, bundle: string): Promise<Failure> {
  const why = await lastWords(join(bundle, 'runtime.log'))
  return new Failure('failed', `Could not create the container of ${spec.process}: ${why}`)
}
