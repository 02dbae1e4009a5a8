import { limits } from '../../core/config.ts'
import { Failure } from '../../core/errors.ts'
import { printable } from '../../core/names.ts'
import type { App, CronEntry } from '../../core/types.ts'
import type { Daemon } from '../daemon.ts'
import { describeEnd, durationMs } from '../runs/run-words.ts'
import { parseSchedule } from '../runs/schedule.ts'
import { shellText } from '../../core/shell-text.ts'
import type { CronJob } from '../store/cron.ts'
import type { Run } from '../store/runs.ts'
import type { Answer, Call, Command } from './command.ts'
import { columns } from './output.ts'
import { usageFailure } from './parse.ts'

const policies = ['allow', 'forbid', 'replace'] as const

export const cronCommands: Command[] = [
  {
    name: 'cron:add',
    usage: '[--timezone ZONE] [--concurrency POLICY] APP SCHEDULE COMMAND [ARGUMENT ...]',
    summary: 'Run a command on a schedule, such as "*/15 * * * *" or @daily',
    app: true,
    changes: true,
    verbatim: true,
    options: {
      timezone: { type: 'string', value: 'ZONE', help: 'Such as Europe/Berlin; UTC unless given' },
      concurrency: {
        type: 'string',
        value: 'POLICY',
        help: 'While an earlier run goes on: forbid (default), allow, or replace it',
      },
    },
    run: async (call, daemon) => {
      const app = call.app()
      const wish = parseJob(call)
      const jobs = daemon.store.cronJobs(app).length
      if (jobs >= limits.cronJobsPerApp) {
        throw new Failure('failed', `${app.name} has ${jobs} cron jobs, which is the most`)
      }
      const job = daemon.store.addCronJob(app, wish)
      daemon.cron.look()
      const facts = describe(daemon, job, undefined)
      return {
        lines: [
          `-----> Added cron.${job.number}: ${job.command}`,
          `       Next: ${facts.next} (${job.timezone})`,
        ],
        json: facts,
        event: { kind: 'cron', text: `Added cron.${job.number}, ${job.schedule}` },
      }
    },
  },
  {
    name: 'cron:list',
    usage: 'APP',
    summary: 'List the cron jobs of an app: when they run next, how they ended last',
    app: true,
    run: async (call, daemon) => {
      const app = call.app()
      const last = daemon.store.lastCronRuns(app)
      const jobs = daemon.store.cronJobs(app).map((job) => {
        return describe(daemon, job, last.get(job.number))
      })
      const rows = jobs.map((job) => [
        `cron.${job.number}`,
        job.schedule,
        job.timezone,
        job.concurrency,
        job.suspended ? 'suspended' : (job.next ?? '-'),
        job.last ?? '-',
        job.command,
      ])
      const head = ['JOB', 'SCHEDULE', 'ZONE', 'POLICY', 'NEXT', 'LAST', 'COMMAND']
      return { lines: columns([head, ...rows]), json: jobs }
    },
  },
  {
    name: 'cron:remove',
    usage: 'APP JOB',
    summary: 'Remove a cron job with its history; a run of it that goes on is stopped',
    app: true,
    changes: true,
    run: async (call, daemon) => {
      const job = findJob(call, daemon)
      if (job.source === 'app.json') {
        throw new Failure('failed', `cron.${job.number} is in app.json of ${job.app}`, {
          hint: `Push without it, or: cron:suspend ${job.app} cron.${job.number}`,
        })
      }
      daemon.store.suspendCronJob(job, true) // nothing starts while we wait below
      const going = daemon.runs.of(job.app).filter(({ jobId }) => jobId === job.id)
      for (const run of going) run.stop(`its job was removed by ${call.session.identity.name}`)
      await Promise.all(going.map(({ ended }) => ended))
      daemon.store.removeCronJob(job)
      return {
        lines: [`-----> Removed cron.${job.number}`],
        json: { removed: job.number },
        event: { kind: 'cron', text: `Removed cron.${job.number}` },
      }
    },
  },
  {
    name: 'cron:run',
    usage: 'APP JOB',
    summary: 'Start a cron job now, in the background',
    app: true,
    run: async (call, daemon) => {
      const job = findJob(call, daemon)
      await daemon.cron.run(job, call.session.identity.name)
      return {
        lines: [
          `-----> Started cron.${job.number}`,
          `       Output: logs ${job.app} -p cron.${job.number} -t`,
        ],
        json: { started: job.number },
      }
    },
  },
  {
    name: 'cron:history',
    usage: 'APP [JOB]',
    summary: 'Show how the last runs of the cron jobs ended, newest first',
    app: true,
    options: {
      output: { type: 'boolean', short: 'o', help: 'With the last lines that each has printed' },
    },
    run: async (call, daemon) => {
      const app = call.app()
      const job = call.args.length === 0 ? undefined : findJob(call, daemon).number
      return history(
        daemon.store.runs(app, job).filter((run) => run.job !== null),
        call,
      )
    },
  },
  {
    name: 'cron:suspend',
    usage: 'APP [JOB]',
    summary: 'Let a cron job, or all of an app, rest',
    app: true,
    changes: true,
    run: async (call, daemon) => suspend(call, daemon, true),
  },
  {
    name: 'cron:resume',
    usage: 'APP [JOB]',
    summary: 'End the rest; what was due meanwhile is not made up for',
    app: true,
    changes: true,
    run: async (call, daemon) => suspend(call, daemon, false),
  },
]

function parseJob(call: Call): CronEntry {
  const { timezone = 'UTC', concurrency = 'forbid' } = call.options
  const policy = policies.find((one) => one === concurrency)
  if (!policy) throw usageFailure(call.command, `--concurrency wants ${policies.join(', ')}`)
  // ssh drops the quotes that the user's own shell has read: the five fields come one by one.
  const [first = ''] = call.args
  const words = first.startsWith('@') || first.includes(' ') ? 1 : 5
  const schedule = call.args.slice(0, words).join(' ')
  parseSchedule(schedule, String(timezone))
  const rest = call.args.slice(words)
  const [only = ''] = rest
  const command = rest.length > 1 ? shellText(rest) : only
  if (command.trim() === '') throw usageFailure(call.command, 'cron:add needs a command')
  if (command.length > limits.runCommandCharacters) {
    throw new Failure('usage', `The command is longer than ${limits.runCommandCharacters}`)
  }
  return { schedule, timezone: String(timezone), concurrency: policy, command }
}

function findJob(call: Call, daemon: Daemon): CronJob {
  const [name] = call.args
  if (name === undefined) throw usageFailure(call.command, `${call.command.name} needs a job`)
  const app = call.app()
  const number = Number(/^(?:cron\.)?(\d{1,9})$/.exec(name)?.[1])
  const job = Number.isNaN(number) ? undefined : daemon.store.findCronJob(app, number)
  if (job) return job
  throw new Failure('failed', `${app.name} has no cron job "${printable(name)}"`, {
    hint: jobsHint(daemon, app),
  })
}

function jobsHint(daemon: Daemon, app: App): string {
  const names = daemon.store.cronJobs(app).map(({ number }) => `cron.${number}`)
  return names.length === 0 ? `Add one: cron:add ${app.name} ...` : `There is: ${names.join(', ')}`
}

function suspend(call: Call, daemon: Daemon, suspended: boolean): Answer {
  const chosen = call.args.length > 0
  const jobs = chosen ? [findJob(call, daemon)] : daemon.store.cronJobs(call.app())
  for (const job of jobs) daemon.store.suspendCronJob(job, suspended)
  daemon.cron.look()
  const verb = suspended ? 'Suspended' : 'Resumed'
  const names = jobs.map(({ number }) => `cron.${number}`)
  return {
    lines: names.map((name) => `-----> ${verb} ${name}`),
    json: { jobs: names, suspended },
    ...(names.length > 0 && { event: { kind: 'cron', text: `${verb} ${names.join(', ')}` } }),
  }
}

function describe(daemon: Daemon, job: CronJob, last: Run | undefined) {
  const { number, schedule, timezone, concurrency, command, suspended, source } = job
  const next = suspended ? undefined : daemon.cron.schedule(job).next(new Date())
  return {
    ...{ number, schedule, timezone, concurrency, command, suspended, source },
    next: next?.toISOString() ?? null,
    last: last ? `${describeEnd(last)} at ${last.startedAt}` : null,
  }
}

function history(runs: Run[], call: Call): Answer {
  const rows = runs.map((run) => [
    `cron.${run.job}`,
    run.startedAt,
    describeEnd(run),
    `v${run.release}`,
    run.by,
  ])
  const table = columns([['JOB', 'STARTED', 'END', 'RELEASE', 'BY'], ...rows], 80)
  const [head = '', ...lines] = table
  const withOutput = lines.flatMap((line, index) => {
    const output = runs[index]?.output
    return output ? [line, ...output.split('\n').map((text) => `       ${text}`)] : [line]
  })
  const json = runs.map(({ job, status, code, detail, release, by, output, ...run }) => ({
    ...{ job, status, code, detail, release: `v${release}`, by },
    startedAt: run.startedAt,
    finishedAt: run.finishedAt,
    durationMs: durationMs(run),
    output: output === '' ? [] : output.split('\n'),
  }))
  return { lines: [head, ...(call.options.output ? withOutput : lines)], json }
}
