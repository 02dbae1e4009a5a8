create table global_config (
  id integer primary key check (id = 1),
  config text not null
) strict;
insert into global_config (id, config) values (1, '{}');

alter table releases add column globals text not null default '{}';
alter table builds add column started_at text;
alter table apps add column stopped text not null default '{}';
alter table apps add column locked_by text;
alter table apps add column maintenance text;
