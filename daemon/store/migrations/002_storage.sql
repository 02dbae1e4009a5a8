create table storages (
  name text primary key,
  created_at text not null
) strict;

alter table apps add column mounts text not null default '[]';
alter table releases add column mounts text not null default '[]';
