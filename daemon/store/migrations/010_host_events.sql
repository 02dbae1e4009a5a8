-- An event without an app is the host's own: keys, plugins, storages, apps that come and go.
create table all_events (
  id integer primary key,
  app_id integer references apps (id) on delete cascade,
  at text not null,
  kind text not null,
  by text not null,
  release integer,
  text text not null
) strict;
insert into all_events select * from events;
drop table events;
alter table all_events rename to events;
create index events_by_app on events (app_id, id);

-- Why a release failed.
alter table releases add column error text;
