create table apps (
  id integer primary key,
  name text not null unique,
  deploy_branch text,
  current_release integer references releases (id),
  config text not null default '{}',
  formation text not null default '{}',
  limits text not null,
  created_at text not null
) strict;

create table releases (
  id integer primary key,
  app_id integer not null references apps (id) on delete cascade,
  version integer not null,
  status text not null check (status in ('starting', 'live', 'failed')),
  git_commit text,
  image text not null,
  config text not null,
  formation text not null,
  limits text not null,
  cause text not null,
  by text not null,
  created_at text not null,
  unique (app_id, version)
) strict;

create table builds (
  id integer primary key,
  app_id integer not null references apps (id) on delete cascade,
  number integer not null,
  status text not null check (status in ('waiting', 'running', 'succeeded', 'failed', 'cancelled')),
  git_commit text not null,
  error text,
  by text not null,
  created_at text not null,
  finished_at text,
  unique (app_id, number)
) strict;

create table domains (
  host text primary key,
  app_id integer not null references apps (id) on delete cascade,
  created_at text not null
) strict;
create index domains_by_app on domains (app_id);

create table keys (
  name text primary key,
  fingerprint text not null unique,
  algorithm text not null,
  blob text not null,
  created_at text not null
) strict;

create table plugins (
  name text primary key,
  enabled integer not null
) strict;
