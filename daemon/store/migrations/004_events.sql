create table events (
  id integer primary key,
  app_id integer not null references apps (id) on delete cascade,
  at text not null,
  kind text not null,
  by text not null,
  release integer,
  text text not null
) strict;
create index events_by_app on events (app_id, id);

create table deaths (
  id integer primary key,
  app_id integer not null references apps (id) on delete cascade,
  at text not null,
  process text not null,
  release integer not null,
  container text not null,
  cause text not null check (cause in ('memory', 'exit', 'signal', 'check')),
  code integer,
  memory_limit integer,
  memory_peak integer,
  text text not null,
  times integer not null,
  lines text not null
) strict;
create index deaths_by_app on deaths (app_id, id);

create table log_limits (
  app_id integer primary key references apps (id) on delete cascade,
  bytes integer not null
) strict;

create table drains (
  app_id integer not null references apps (id) on delete cascade,
  url text not null,
  created_at text not null,
  primary key (app_id, url)
) strict;
