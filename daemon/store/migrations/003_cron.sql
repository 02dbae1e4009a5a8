create table cron_jobs (
  id integer primary key,
  app_id integer not null references apps (id) on delete cascade,
  number integer not null,
  schedule text not null,
  timezone text not null,
  concurrency text not null check (concurrency in ('allow', 'forbid', 'replace')),
  command text not null,
  -- 'app.json' jobs come and go with the releases that ask for them.
  source text not null check (source in ('user', 'app.json')),
  suspended integer not null default 0,
  -- Every due time up to this one has been dealt with.
  handled_at text not null,
  created_at text not null,
  unique (app_id, number)
) strict;

-- One-off containers that outlive their connection: run:detached and cron.
create table runs (
  id text primary key,
  app_id integer not null references apps (id) on delete cascade,
  job_id integer references cron_jobs (id) on delete cascade,
  process text not null,
  release integer not null,
  command text not null,
  layers text not null,
  by text not null,
  status text not null,
  code integer,
  detail text,
  output text not null default '',
  started_at text not null,
  deadline_at text not null,
  finished_at text
) strict;
create index runs_by_app on runs (app_id, started_at);
create index runs_by_job on runs (job_id, started_at);
